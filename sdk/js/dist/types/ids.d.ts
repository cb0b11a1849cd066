/** Ids and instants: made once, at capture. */
/** 128 random bits; pages without TLS have no `crypto.randomUUID`. */
export declare const newId: () => string;
/** Makes instants, ISO 8601 in microseconds: those of one millisecond are told apart in their order. */
export declare const newClock: (now: () => number) => (() => string);
