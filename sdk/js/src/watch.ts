/** What people do on a page, by listeners of the document: marked items and their buttons need no code. */

import type { About } from "./contract.js";

const ITEM = "[data-tb-item]";
const SEEN_MS = 1_000;
const DWELL_MS = 1_000;
const SCROLL_MS = 200;
const DEPTHS = [25, 50, 75, 100];

type Track = (type: string, about?: About) => void;
type Safe = <A extends unknown[]>(work: (...given: A) => void) => (...given: A) => void;

/** The item that an element is marked with. */
export const aboutOf = (marked: HTMLElement): About => {
  const { tbItem, tbRec, tbPos } = marked.dataset;
  return { itemId: tbItem, recommendationId: tbRec, position: tbPos ? Number(tbPos) : undefined };
};

const markedAt = (event: globalThis.Event): HTMLElement | null =>
  (event.composedPath()[0] as Element).closest?.<HTMLElement>(ITEM) ?? null;

/** Impressions: half of an item visible for a second. Call it with items; those it had are looked at no second time. */
export const watchImpressions = (track: Track, safe: Safe): ((items: Iterable<HTMLElement>) => void) => {
  const timers = new Map<Element, ReturnType<typeof setTimeout>>();
  const had = new WeakSet<Element>();
  const visible = new Set<HTMLElement>();
  const forget = (item: Element): void => {
    clearTimeout(timers.get(item));
    timers.delete(item);
  };
  const begin = (item: HTMLElement): void => {
    if (document.hidden || timers.has(item)) return;
    const seen = safe(() => {
      visible.delete(item);
      forget(item);
      observer.unobserve(item);
      track("impression", aboutOf(item));
    });
    timers.set(item, setTimeout(seen, SEEN_MS));
  };
  const observer = new IntersectionObserver(
    safe((entries) => {
      for (const { target, intersectionRatio } of entries) {
        const item = target as HTMLElement;
        if (intersectionRatio >= 0.5) {
          visible.add(item);
          begin(item);
        } else {
          visible.delete(item);
          forget(item);
        }
      }
    }),
    { threshold: 0.5 },
  );
  document.addEventListener(
    "visibilitychange",
    safe(() => visible.forEach(document.hidden ? forget : begin)),
  );
  return (items) => {
    for (const item of items) {
      if (had.has(item)) continue;
      had.add(item);
      observer.observe(item);
    }
  };
};

/** Clicks on marked items; an element with `data-tb-event` says another type. */
export const watchClicks = (
  track: Track,
  safe: Safe,
  onClick: (about: About) => void,
): void => {
  const clicked = safe((event: MouseEvent) => {
    const item = markedAt(event);
    if (!item || event.button > 1) return;
    const button = (event.composedPath()[0] as Element).closest<HTMLElement>("[data-tb-event]");
    const type = (button && item.contains(button) && button.dataset.tbEvent) || "click";
    const about = aboutOf(item);
    if (type === "click") onClick(about);
    track(type, about);
  });
  document.addEventListener("click", clicked, true);
  document.addEventListener("auxclick", clicked, true);
};

/** Dwelling on a marked item with the mouse; the answer ends what goes on. */
export const watchHovers = (track: Track, safe: Safe): (() => void) => {
  let item: HTMLElement | null = null;
  let since = 0;
  const end = (next: HTMLElement | null): void => {
    if (next === item) return;
    const ms = Date.now() - since;
    if (item && ms >= DWELL_MS)
      track("hover", { ...aboutOf(item), properties: { seconds: Math.round(ms / 100) / 10 } });
    item = next;
    since = Date.now();
  };
  document.addEventListener(
    "pointerover",
    safe((event: PointerEvent) => {
      if (event.pointerType === "mouse") end(markedAt(event));
    }),
    true,
  );
  document.documentElement.addEventListener("pointerleave", safe(() => end(null)));
  return () => end(null);
};

/** How much of the page was seen, in quarters, each told once; call the answer where a new page begins. */
export const watchScroll = (track: Track, safe: Safe): (() => void) => {
  let next = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = safe(() => {
    timer = undefined;
    const { scrollHeight } = document.documentElement;
    const depth = ((scrollY + innerHeight + 1) / scrollHeight) * 100;
    let reached = 0;
    for (; next < DEPTHS.length && depth >= DEPTHS[next]!; next++) reached = DEPTHS[next]!;
    if (reached) track("scroll", { properties: { depth: reached } });
  });
  document.addEventListener(
    "scroll",
    () => {
      if (next < DEPTHS.length) timer ??= setTimeout(look, SCROLL_MS);
    },
    { passive: true },
  );
  return () => {
    next = 0;
  };
};
