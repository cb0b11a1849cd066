/** Who it is: consent, the anonymous id, the login, the session. Nothing is kept before consent, nothing after its withdrawal. */
import type { About, Purposes } from "./contract.js";
import { sourceOf } from "./page.js";
import type { Store } from "./store.js";
export declare const KEPT = "tailorbird";
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
export declare const openPerson: (store: Store, source?: typeof sourceOf) => Person;
export {};
