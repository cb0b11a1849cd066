/**
 * Events on their way: each under a key of its own, so that tabs share one queue without overwriting each other, and gone
 * only once the platform has said 202. What was sent and not acknowledged is sent again: a message id counts once.
 */
import type { Event } from "./contract.js";
import type { Store } from "./store.js";
export interface Queue {
    push(event: Event): void;
    /** Send what waits; resolves once it was tried. */
    flush(): Promise<void>;
    /** The page may be about to end: hand over to the browser what nobody has acknowledged. */
    leave(): void;
    clear(): void;
    /** The network is back. */
    retry(): void;
}
export declare const openQueue: (store: Store, url: string, allowed: () => unknown, warn: (what: unknown) => void) => Queue;
