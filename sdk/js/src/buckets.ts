/** Salted hashing of units, equal to the platform's (tailorbird/experiments/running/buckets.py): MurmurHash3, x86, 32 bits. */

export const BUCKETS = 10_000;
const PARTS = 2 ** 32;

/**
 * An experiment as one may assign it without asking: `weights` add up to 1, `buckets` are what it holds of its layer.
 * It is the `assignment` of GET /v1/experiments/{key}; of a bandit salt and weights change with every renewal, so read it anew or ask
 * (`openExperiments`).
 */
export interface Declared {
  key: string;
  layer: string;
  salt: string;
  variants: string[];
  weights: number[];
  buckets: [start: number, end: number][];
  /** Running holdouts: whoever is `held` in one of them takes no part. */
  holdouts?: Declared[];
}

const rotated = (value: number, by: number): number => (value << by) | (value >>> (32 - by));
const scrambled = (part: number): number => Math.imul(rotated(Math.imul(part, 0xcc9e2d51), 15), 0x1b873593);

/** The hash of a text under a seed: 0 to 2³² − 1. */
export const hashed = (text: string, seed = 0): number => {
  const bytes = new TextEncoder().encode(text);
  const whole = bytes.length & ~3;
  let hash = seed;
  for (let at = 0; at < whole; at += 4) {
    const part = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    hash = (Math.imul(rotated(hash ^ scrambled(part), 13), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let at = bytes.length - 1; at >= whole; at--) rest = (rest << 8) | bytes[at]!;
  hash ^= scrambled(rest) ^ bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

/** The unit's bucket in a layer. */
export const bucketOf = (layer: string, unit: string): number =>
  Math.floor((hashed(unit, hashed(`layer/${layer}`)) * BUCKETS) / PARTS);

/** Where a unit falls under a salt: 0 to 2³² − 1. */
export const pointOf = (salt: string, unit: string): number => hashed(unit, hashed(`salt/${salt}`));

/** The variants that a unit gets, by experiment. */
export const assigned = (experiments: Declared[], unit: string): Record<string, string> => {
  const found: Record<string, string> = {};
  for (const { key, layer, salt, variants, weights, buckets, holdouts = [] } of experiments) {
    if (Object.values(assigned(holdouts, unit)).includes("held")) continue;
    const bucket = bucketOf(layer, unit);
    if (!buckets.some(([start, end]) => start <= bucket && bucket < end)) continue;
    const point = pointOf(salt, unit);
    let end = 0;
    const place = weights.findIndex((weight) => point < (end += weight * PARTS));
    found[key] = variants[place < 0 ? variants.length - 1 : place]!;
  }
  return found;
};
