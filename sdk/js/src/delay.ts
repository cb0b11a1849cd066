/** How long to wait after a failure. */

const FIRST_MS = 1_000;
const LONGEST_MS = 300_000;
const LONGEST_TOLD_MS = 3_600_000;

/** Milliseconds: doubled with each failure (from 1), jittered; never less than the server's Retry-After (seconds or a date). */
export const delayOf = (failures: number, told: string | null | undefined, now: number, random: number): number => {
  const own = Math.min(LONGEST_MS, FIRST_MS * 2 ** failures) * (0.5 + random / 2);
  if (!told) return own;
  const seconds = Number(told);
  const asked = Number.isNaN(seconds) ? Date.parse(told) - now : seconds * 1_000;
  return asked > 0 ? Math.max(own, Math.min(LONGEST_TOLD_MS, asked) + random * 1_000) : own;
};
