/** The browser SDK: `start()` tells a Tailorbird platform what people do on a page, and fills slots with what it answers. */
import type { About, Answer, Purposes, Question } from "./contract.js";
import { type Slot, type SlotOptions } from "./slot.js";
export type { About, Answer, Context, Item, Purposes, Question } from "./contract.js";
export type { Shown, Slot, SlotOptions } from "./slot.js";
export interface Options {
    /** Where the platform answers, without a slash at the end; by default the page's own origin. */
    endpoint?: string;
    /** A public key, where the platform asks for one. */
    key?: string | undefined;
    /** True where the person has agreed, as this page knows; otherwise `consent(true)` says so, and the device remembers. */
    consent?: boolean;
    /** The item whose page this is. */
    item?: string | undefined;
    /** Who is logged in. */
    user?: string | undefined;
    /** False: nothing is told that the page does not tell itself. */
    auto?: boolean;
    /** True: what goes wrong is written to the console. */
    debug?: boolean;
}
export interface Tailorbird {
    /**
     * Whether anything is kept and sent; with an argument, the person's word: on all of it, or on every purpose by name, which
     * the platform is told. Withdrawing, or allowing no purpose, deletes the ids and what waits.
     */
    consent(given?: boolean | Purposes): boolean;
    /** Tell of anything: a type of the contract, or one of your own in lower case. */
    track(type: string, about?: About): void;
    /** A page was opened: of `itemId`, where it shows one. */
    page(itemId?: string): void;
    view(itemId: string, about?: About): void;
    search(query: string, properties?: Record<string, unknown>): void;
    addToCart(itemId: string, about?: About): void;
    /** One item or many of an order; with `orderId`, a page that is loaded again counts once. */
    purchase(items: string | ({
        itemId: string;
    } & About)[], about?: About & {
        orderId?: string;
    }): void;
    /** A login: what was done under the anonymous id belongs to the user. Again the same is nothing new. */
    identify(userId: string): void;
    /** The device is nobody's from now on: it gets another anonymous id, and what follows belongs to the next login. */
    logout(): void;
    /** Ask; null where nobody answers in time, or before consent. */
    recommend(question?: Question, withoutConsent?: boolean): Promise<Answer | null>;
    /** Fill an element with recommendations. */
    slot(element: HTMLElement, options?: SlotOptions): Slot;
    /** Find marked items and slots that were added to the page. */
    scan(root?: ParentNode): void;
    /** Send what waits, now. */
    flush(): Promise<void>;
}
export declare const start: ({ endpoint, key, auto, ...options }?: Options) => Tailorbird;
