/** Who it is: consent, the anonymous id, the login, the session. Nothing is kept before consent, nothing after its withdrawal. */

import type { About, Purposes } from "./contract.js";
import { newId } from "./ids.js";
import { sourceOf } from "./page.js";
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
  /** What was allowed and refused on this device, where it was said by purpose. */
  p?: Purposes | undefined;
}

export interface Person {
  /** Who it is now, in a session that goes on; undefined without consent. */
  now(): Readonly<Kept> | undefined;
  grant(purposes?: Purposes): void;
  withdraw(): void;
  /** Another login; false where it was this one before. */
  login(userId: string): boolean;
  logout(): void;
  /** Remembered with the next change of the session, or by `keep`. */
  clicked(about: About): void;
  keep(): void;
}

export const openPerson = (store: Store, source = sourceOf): Person => {
  let text: string | null = null;
  let kept: Kept | undefined;
  let dirty = false;

  // Read anew each time: other tabs log in, log out and withdraw too.
  const read = (): Kept | undefined => {
    const found = store.get(KEPT);
    if (found !== text) {
      text = found;
      dirty = false;
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
    dirty = false;
    store.set(KEPT, (text = JSON.stringify(next)));
  };
  const renew = (): void => write({ a: newId(), s: newId(), t: Date.now(), f: source(), r: [], p: kept?.p });

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
    grant(purposes) {
      if (!read()) renew();
      if (purposes) write({ ...kept!, p: purposes });
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
    clicked({ itemId, recommendationId, position }) {
      const known = read();
      if (!known || !itemId || !recommendationId) return;
      kept = { ...known, r: [...known.r.filter(([item]) => item !== itemId), [itemId, recommendationId, position]] };
      if (kept.r.length > MOST_CLICKS) kept.r.shift();
      dirty = true;
    },
    keep() {
      const known = read();
      if (known && dirty) write(known);
    },
  };
};
