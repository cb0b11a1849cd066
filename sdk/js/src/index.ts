/** The browser SDK: `start()` tells a Tailorbird platform what people do on a page, and fills slots with what it answers. */

import { call } from "./call.js";
import type { About, Answer, Purposes, Question } from "./contract.js";
import { KEPT, openPerson } from "./person.js";
import { openQueue } from "./queue.js";
import { render, type Slot, type SlotOptions } from "./slot.js";
import { deviceOf, refused } from "./page.js";
import { on, safe, speak, warn } from "./safe.js";
import { openStore } from "./store.js";
import { watchAddress, watchClicks, watchHovers, watchImpressions, watchScroll } from "./watch.js";

export type { About, Answer, Context, Item, Purposes, Question } from "./contract.js";
export type { Shown, Slot, SlotOptions } from "./slot.js";

const ANSWER_MS = 5_000;

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
  purchase(items: string | ({ itemId: string } & About)[], about?: About & { orderId?: string }): void;
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

export const start = ({ endpoint = "", key, auto = true, ...options }: Options = {}): Tailorbird => {
  if (options.debug) speak();
  const store = openStore(() => localStorage);
  const person = openPerson(store);
  const allowed = (): ReturnType<typeof person.now> => (refused() ? undefined : person.now());
  /** A beacon has no headers of ours: the key stands in the address, where pages may send it without asking first. */
  const url = (door: string, query = "?"): string => `${endpoint}/v1/${door}${query}${key ? "key=" + key : ""}`;
  const queue = openQueue(store, url("events"), allowed, person.keep);
  const device = deviceOf();
  const slots = new Map<HTMLElement, Slot>();
  let observe: ((items: Iterable<HTMLElement>) => void) | undefined;
  let newPage: (() => void) | undefined;

  const track = safe((type: string, { itemId, recommendationId, position, ...rest }: About = {}) => {
    const who = allowed();
    if (!who) return;
    if (!recommendationId) {
      const [, source, place] = who.r.find(([item]) => item === itemId) ?? [];
      recommendationId = source;
      position ??= place;
    }
    queue.push({
      ...rest,
      type,
      itemId,
      recommendationId,
      position,
      userId: who.u,
      anonymousId: who.a,
      sessionId: who.s,
      context: { device, referrer: who.f, consent: who.p ?? true },
    });
  });

  const address = (): string => location.pathname + location.search;
  const first = address();
  let told = first;
  const page = (itemId?: string): void => {
    told = address();
    newPage?.();
    track(itemId ? "view" : "page", { itemId, properties: { path: location.pathname } });
  };

  /** What the page's tag said of its item holds at its own address. */
  const pageHere = (): void => page(address() === first ? options.item : undefined);
  const pageIfMoved = safe(() => {
    if (told !== address()) pageHere();
  });

  const recommend = async (question: Question = {}, withoutConsent = false): Promise<Answer | null> => {
    const who = allowed();
    if (!who && !withoutConsent) return null;
    const told = who && {
      [who.u ? "userId" : "anonymousId"]: who.u ?? who.a,
      sessionId: who.s,
      context: { device, referrer: who.f, consent: who.p },
    };
    const reply = await call(url("recommendations"), JSON.stringify({ ...question, ...told }), ANSWER_MS);
    return reply?.told || null;
  };

  const slot = (element: HTMLElement, given: SlotOptions = {}): Slot => {
    const { template = element?.querySelector("template"), details, withoutConsent, ...question } = given;
    const fillIt = async (): Promise<boolean> => {
      try {
        const answer = template && (await recommend(question, withoutConsent));
        if (!answer?.items.length) return false;
        const shown = await render(element, template!, answer, details);
        observe?.(shown);
        return true;
      } catch (error) {
        warn(error);
        return false;
      }
    };
    const made = { refresh: () => queue.flush().then(fillIt) };
    slots.set(element, made);
    fillIt();
    return made;
  };

  const scan = safe((root: ParentNode = document) => {
    observe?.(root.querySelectorAll<HTMLElement>("[data-tb-item]"));
    for (const element of root.querySelectorAll<HTMLElement>("[data-tb-slot]")) {
      const { tbSlot, tbCount, tbFor, tbAnonymous } = element.dataset;
      if (!slots.has(element))
        slot(element, {
          scenario: tbSlot || undefined,
          numResults: tbCount ? +tbCount : undefined,
          itemId: tbFor,
          withoutConsent: tbAnonymous !== undefined,
        });
    }
  });

  /** What was said by purpose, under the id of now. */
  const tell = (purposes = person.now()?.p): void => {
    const who = person.now();
    if (who && purposes)
      call(
        url(`users/${encodeURIComponent(who.u ?? who.a)}/consent`, who.u ? "?" : "?anonymous=true&"),
        JSON.stringify({ purposes }),
        ANSWER_MS,
        undefined,
        true,
        "PUT",
      );
  };

  const identify = safe((userId: string) => {
    if (!refused() && person.login(userId)) {
      track("identify");
      tell();
    }
  });

  // Once, when consent is there: before it, nothing is even listened to.
  let begun = false;
  const begin = (): void => {
    begun = true;
    let leaving: (() => void) | undefined;
    if (auto) {
      observe = watchImpressions(track);
      newPage = watchScroll(track);
      leaving = watchHovers(track);
      watchClicks(track, person.clicked);
      safe(watchAddress)(pageIfMoved);
    }
    const leave = (): void => {
      if (auto) pageIfMoved();
      leaving?.();
      queue.leave();
    };
    on(window, "pagehide", leave);
    on(document, "visibilitychange", () => document.hidden && leave());
    on(window, "online", queue.retry);
    on<PageTransitionEvent>(window, "pageshow", ({ persisted }) => {
      if (!persisted) return;
      if (auto) pageHere();
      queue.flush();
    });
  };
  const enter = (): void => {
    if (allowed()) {
      if (!begun) begin();
      if (options.user) identify(options.user);
      if (auto) pageHere();
      queue.flush();
    }
    scan();
  };

  const consent = (given?: boolean | Purposes): boolean => {
    safe(() => {
      const purposes = typeof given === "object" ? given : undefined;
      const known = person.now();
      if (given === false || (purposes && !Object.values(purposes).includes(true))) {
        tell(purposes);
        queue.clear();
        person.withdraw();
      } else if (given && !refused() && (purposes || !known)) {
        person.grant(purposes);
        tell();
        if (!known) enter();
        for (const { refresh } of slots.values()) refresh();
      }
    })();
    return !!allowed();
  };

  safe(() => {
    if (refused()) consent(false);
    // Another tab withdrew; what this one wrote meanwhile goes too.
    on<StorageEvent>(window, "storage", ({ key, oldValue, newValue }) => {
      const left = person.now();
      if (key === KEPT && !newValue && (!left || oldValue?.includes(left.a))) consent(false);
    });
    const go = (): void => {
      if (options.consent && !refused()) person.grant();
      enter();
      if (document.readyState === "loading") on(document, "DOMContentLoaded", () => scan());
    };
    if ((document as { prerendering?: boolean }).prerendering) on(document, "prerenderingchange", go);
    else go();
  })();

  return {
    consent,
    track,
    page,
    recommend,
    slot,
    scan,
    identify,
    flush: queue.flush,
    logout: safe(() => {
      if (allowed()?.u) track("logout"); // under the ids of before
      person.logout();
    }),
    view: (itemId, about) => track("view", { ...about, itemId }),
    search: (query, properties) => track("search", { properties: { ...properties, query } }),
    addToCart: (itemId, about) => track("add_to_cart", { ...about, itemId }),
    purchase: safe((items, { orderId, ...about } = {}) => {
      for (const each of typeof items === "string" ? [{ itemId: items }] : items)
        track("purchase", {
          messageId: orderId && `order:${orderId}:${each.itemId}`,
          ...about,
          ...each,
          properties: { ...about.properties, ...each.properties, orderId },
        });
    }),
  };
};
