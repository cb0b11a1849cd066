/**
 * Events on their way: in parcels of what happened within a tenth of a second, each under a key of its own, so that tabs
 * share one queue without overwriting each other. A parcel goes once the platform has said 202. What was sent and not
 * acknowledged is sent again: a message id counts once.
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
export declare const openQueue: (store: Store, url: string, allowed: () => unknown, kept: () => void) => Queue;
