/** What people do on a page, by listeners of the document: marked items and their buttons need no code. */
import type { About } from "./contract.js";
type Track = (type: string, about?: About) => void;
/** Impressions: half of an item visible for a second. Call it with items; those it had are looked at no second time. */
export declare const watchImpressions: (track: Track) => ((items: Iterable<HTMLElement>) => void);
/** Clicks on marked items; an element with `data-tb-event` says another type. */
export declare const watchClicks: (track: Track, onClick: (about: About) => void) => void;
/** Dwelling on a marked item with the mouse; the answer ends what goes on. */
export declare const watchHovers: (track: Track) => (() => void);
/** How much of the page was seen, in quarters, each told once; call the answer where a new page begins. */
export declare const watchScroll: (track: Track) => (() => void);
/** Other addresses of one document, as applications of a single page make them: `look` a moment after each, when the page had its say. */
export declare const watchAddress: (look: () => void) => void;
export {};
