/** Whatever fails here must not fail in the page: it is written to the console where the page asked for that. */
export declare const speak: () => void;
export declare const warn: (what: unknown) => void;
export declare const safe: <A extends unknown[]>(work: (...given: A) => void) => (...given: A) => void;
/** Listen, before the page's own listeners do. */
export declare const on: <E extends Event>(target: EventTarget, type: string, work: (event: E) => void) => void;
