/** What people do on a page, by listeners of the document: marked items and their buttons need no code. */
import type { About } from "./contract.js";
type Track = (type: string, about?: About) => void;
type Safe = <A extends unknown[]>(work: (...given: A) => void) => (...given: A) => void;
/** The item that an element is marked with. */
export declare const aboutOf: (marked: HTMLElement) => About;
/** Impressions: half of an item visible for a second. Call it with items; those it had are looked at no second time. */
export declare const watchImpressions: (track: Track, safe: Safe) => ((items: Iterable<HTMLElement>) => void);
/** Clicks on marked items; an element with `data-tb-event` says another type. */
export declare const watchClicks: (track: Track, safe: Safe, onClick: (about: About) => void) => void;
/** Dwelling on a marked item with the mouse; the answer ends what goes on. */
export declare const watchHovers: (track: Track, safe: Safe) => (() => void);
/** How much of the page was seen, in quarters, each told once; call the answer where a new page begins. */
export declare const watchScroll: (track: Track, safe: Safe) => (() => void);
export {};
