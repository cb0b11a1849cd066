/** Salted hashing of units, equal to the platform's (tailorbird/experiments/running/buckets.py): MurmurHash3, x86, 32 bits. */
export declare const BUCKETS = 10000;
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
/** The hash of a text under a seed: 0 to 2³² − 1. */
export declare const hashed: (text: string, seed?: number) => number;
/** The unit's bucket in a layer. */
export declare const bucketOf: (layer: string, unit: string) => number;
/** Where a unit falls under a salt: 0 to 2³² − 1. */
export declare const pointOf: (salt: string, unit: string) => number;
/** The variants that a unit gets, by experiment. */
export declare const assigned: (experiments: Declared[], unit: string) => Record<string, string>;
