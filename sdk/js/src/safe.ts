/** Whatever fails here must not fail in the page: it is written to the console where the page asked for that. */

let loud = false;

export const speak = (): void => {
  loud = true;
};

export const warn = (what: unknown): void => {
  if (loud) console.warn("tailorbird:", what);
};

export const safe =
  <A extends unknown[]>(work: (...given: A) => void) =>
  (...given: A): void => {
    try {
      work(...given);
    } catch (error) {
      warn(error);
    }
  };

/** Listen, before the page's own listeners do. */
export const on = <E extends Event>(target: EventTarget, type: string, work: (event: E) => void): void =>
  target.addEventListener(type, safe(work) as EventListener, { capture: true, passive: true });
