/** How long to wait after a failure. */
/** Milliseconds: doubled with each failure (from 1), jittered; never less than the server's Retry-After (seconds or a date). */
export declare const delayOf: (failures: number, told: string | null | undefined, now: number, random: number) => number;
