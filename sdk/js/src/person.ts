/** Who it is: consent, the anonymous id, the login, the session. Nothing is kept before consent, nothing after its withdrawal. */

import { newId } from "./ids.js";
import type { Store } from "./store.js";

export const KEPT = "tailorbird";
const SESSION_MS = 30 * 60_000;
const TOUCH_MS = 60_000;
const MOST_CLICKS = 30;

interface Kept {
  /** Anonymous id, and the user's after a login. */
  a: string;
  u?: string | undefined;
  /** Session, when something last happened in it (epoch ms), and what led to it. */
  s: string;
  t: number;
  f: string;
  /** The answers whose items were clicked: item id, recommendation id, position; the newest last. */
  r: [string, string, number | undefined][];
}

export interface Person {
  /** Who it is now, in a session that goes on; undefined without consent. */
  now(): Readonly<Kept> | undefined;
  grant(): void;
  withdraw(): void;
  /** Another login; false where it was this one before. */
  login(userId: string): boolean;
  logout(): void;
  clicked(itemId: string, recommendationId: string, position: number | undefined): void;
}

export const openPerson = (store: Store, source: () => string): Person => {
  let text: string | null = null;
  let kept: Kept | undefined;

  // Read anew each time: other tabs log in, log out and withdraw too.
  const read = (): Kept | undefined => {
    const found = store.get(KEPT);
    if (found !== text) {
      text = found;
      try {
        kept = found ? JSON.parse(found) : undefined;
      } catch {
        kept = undefined; // not ours: as if there had been no consent
      }
    }
    return kept;
  };
  const write = (next: Kept): void => {
    kept = next;
    store.set(KEPT, (text = JSON.stringify(next)));
  };
  const renew = (): void => write({ a: newId(), s: newId(), t: Date.now(), f: source(), r: [] });

  return {
    now() {
      const known = read();
      if (known) {
        const quiet = Date.now() - known.t;
        if (quiet > SESSION_MS || quiet < 0) write({ ...known, s: newId(), t: Date.now(), f: source() });
        else if (quiet > TOUCH_MS) write({ ...known, t: Date.now() });
      }
      return kept;
    },
    grant() {
      if (!read()) renew();
    },
    withdraw: () => store.remove(KEPT),
    login(userId) {
      const known = read();
      if (!known || known.u === userId) return false;
      if (known.u) renew();
      write({ ...kept!, u: userId });
      return true;
    },
    logout() {
      if (read()) renew();
    },
    clicked(itemId, recommendationId, position) {
      const known = read();
      if (!known) return;
      const before = known.r.filter(([item]) => item !== itemId).slice(1 - MOST_CLICKS);
      write({ ...known, r: [...before, [itemId, recommendationId, position]] });
    },
  };
};
