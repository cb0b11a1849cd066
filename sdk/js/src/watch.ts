/** What people do on a page, by listeners of the document: marked items and their buttons need no code. */

import type { About } from "./contract.js";
import { on, safe } from "./safe.js";

const ITEM = "[data-tb-item]";
const SEEN_MS = 1_000;
const DWELL_MS = 1_000;
const ADDRESS_MS = 100;
const SCROLL_MS = 200;

type Track = (type: string, about?: About) => void;

const aboutOf = ({ dataset: { tbItem, tbRec, tbPos } }: HTMLElement): About => ({
  itemId: tbItem,
  recommendationId: tbRec,
  position: tbPos ? +tbPos : undefined,
});

const closest = (event: globalThis.Event, selector: string): HTMLElement | null =>
  (event.composedPath()[0] as Element).closest?.<HTMLElement>(selector) ?? null;

/** Impressions: half of an item visible for a second. Call it with items; those it had are looked at no second time. */
export const watchImpressions = (track: Track): ((items: Iterable<HTMLElement>) => void) => {
  const timers = new Map<HTMLElement, ReturnType<typeof setTimeout>>();
  const had = new WeakSet<HTMLElement>();
  const visible = new Set<HTMLElement>();
  // Its second begins, begins anew or is broken off.
  const time = (item: HTMLElement): void => {
    clearTimeout(timers.get(item));
    if (document.hidden || !visible.has(item)) return;
    const seen = safe(() => {
      visible.delete(item);
      timers.delete(item);
      observer.unobserve(item);
      track("impression", aboutOf(item));
    });
    timers.set(item, setTimeout(seen, SEEN_MS));
  };
  const observer = new IntersectionObserver(
    safe((entries) => {
      for (const { target, intersectionRatio } of entries) {
        const item = target as HTMLElement;
        visible[intersectionRatio >= 0.5 ? "add" : "delete"](item);
        time(item);
      }
    }),
    { threshold: 0.5 },
  );
  on(document, "visibilitychange", () => visible.forEach(time));
  return (items) => {
    for (const item of items) if (!had.has(item)) observer.observe(had.add(item) && item);
  };
};

/** Clicks on marked items; an element with `data-tb-event` says another type. */
export const watchClicks = (track: Track, onClick: (about: About) => void): void => {
  const clicked = (event: MouseEvent): void => {
    const item = closest(event, ITEM);
    if (!item || event.button > 1) return;
    const button = closest(event, "[data-tb-event]");
    const type = (item.contains(button) && button?.dataset.tbEvent) || "click";
    const about = aboutOf(item);
    if (type === "click") onClick(about);
    track(type, about);
  };
  on(document, "click", clicked);
  on(document, "auxclick", clicked);
};

/** Dwelling on a marked item with the mouse; the answer ends what goes on. */
export const watchHovers = (track: Track): (() => void) => {
  let item: HTMLElement | null = null;
  let since = 0;
  const end = (next: HTMLElement | null = null): void => {
    if (next === item) return;
    const ms = Date.now() - since;
    if (item && ms >= DWELL_MS)
      track("hover", { ...aboutOf(item), properties: { seconds: Math.round(ms / 100) / 10 } });
    item = next;
    since = Date.now();
  };
  on<PointerEvent>(document, "pointerover", (event) => {
    if (event.pointerType === "mouse") end(closest(event, ITEM));
  });
  on<PointerEvent>(document, "pointerout", (event) => event.relatedTarget || end()); // out of the window
  return end;
};

/** How much of the page was seen, in quarters, each told once; call the answer where a new page begins. */
export const watchScroll = (track: Track): (() => void) => {
  let told = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = safe(() => {
    timer = undefined;
    const depth = ((scrollY + innerHeight + 1) / document.documentElement.scrollHeight) * 4;
    const quarters = Math.min(Math.floor(depth), 4);
    if (quarters > told) track("scroll", { properties: { depth: (told = quarters) * 25 } });
  });
  on(document, "scroll", () => {
    timer ??= setTimeout(look, SCROLL_MS);
  });
  return () => {
    told = 0;
  };
};

/** Other addresses of one document, as applications of a single page make them: `look` a moment after each, when the page had its say. */
export const watchAddress = (look: () => void): void => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const soon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(look, ADDRESS_MS);
  };
  for (const name of ["pushState", "replaceState"] as const) {
    const change = history[name];
    history[name] = function (...given) {
      change.apply(this, given);
      soon();
    };
  }
  on(window, "popstate", soon);
};
