/** Ids and instants: made once, at capture. */

/** 128 random bits; pages without TLS have no `crypto.randomUUID`. */
export const newId = (): string => {
  if (crypto.randomUUID) return crypto.randomUUID();
  let id = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += (byte + 256).toString(16).slice(1);
  return id;
};

/** Makes instants, ISO 8601 in microseconds: those of one millisecond are told apart in their order. */
export const newClock = (now: () => number): (() => string) => {
  let last = 0;
  let tick = 0;
  return () => {
    const at = now();
    tick = at === last ? tick + 1 : 0;
    last = at;
    return new Date(at).toISOString().slice(0, -1) + `${1000 + (tick % 1000)}Z`.slice(1);
  };
};
