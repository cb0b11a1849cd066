/** Experiments on a page: `openExperiments()` asks which variants the visitor gets, keeps them, and shows what they say without flicker. */

import { call } from "./call.js";
import { deviceOf, refused } from "./page.js";
import { openPerson } from "./person.js";
import { safe, warn } from "./safe.js";
import { openStore, type Store } from "./store.js";

export { assigned, bucketOf, pointOf, type Declared } from "./buckets.js";

export interface Variant {
  key: string;
  variant: string;
  /** What the variant tells the page; null where it tells nothing. */
  payload: Record<string, unknown> | null;
}

export interface ExperimentsOptions {
  /** Where the platform answers, without a slash at the end; by default the page's own origin. */
  endpoint?: string;
  /** A public key, where the platform asks for one. */
  key?: string | undefined;
  /** Keys of the experiments that this page shows: what is told counts as shown. By default those that its elements name. */
  experiments?: string[] | undefined;
  /** Where on the site this is. */
  scenario?: string | undefined;
  /** How long marked elements stay hidden at most, in ms: then the page is shown as it is, and stays so. */
  waitMs?: number;
}

export interface Experiments {
  /** Once the variants are known, or given up: without consent, in time or not, this never fails. */
  ready: Promise<Variant[]>;
  /** The variant of an experiment; undefined while and where there is none. */
  variant(key: string): Variant | undefined;
}

const KEPT = "tailorbird.variants";
const KEPT_MS = 30 * 60_000;
const WAIT_MS = 400;
const MARK = "data-tb-experiment";

interface Kept {
  /** Whose they are, until when (epoch ms), of which experiments, and what they are. */
  who: string;
  until: number;
  asked: string;
  told: Variant[];
}

/** Variants that are known already of this visitor, so that the next page need not wait. */
export const kept = (store: Store, who: string, asked: string, now: number): Variant[] | undefined => {
  try {
    const found = JSON.parse(store.get(KEPT) ?? "null") as Kept | null;
    return found && found.who === who && found.asked === asked && now < found.until ? found.told : undefined;
  } catch {
    return undefined;
  }
};

/** Write what a variant tells into the elements of its experiment: `data-tb-text="headline"` gets the payload's `headline`, as text. */
export const apply = (root: ParentNode, { key, variant, payload }: Variant): void => {
  for (const element of root.querySelectorAll<HTMLElement>(`[${MARK}="${CSS.escape(key)}"]`)) {
    element.dataset.tbVariant = variant;
    const names = element.dataset.tbText ? [element] : [];
    for (const each of [...names, ...element.querySelectorAll<HTMLElement>("[data-tb-text]")]) {
      const text = payload?.[each.dataset.tbText!];
      if (typeof text === "string") each.textContent = text;
    }
  }
};

export const openExperiments = (options: ExperimentsOptions = {}): Experiments => {
  const { endpoint = "", key, scenario, waitMs = WAIT_MS } = options;
  let told: Variant[] = [];
  const store = openStore(() => localStorage);
  const veil = document.createElement("style");
  veil.textContent = `[${MARK}]{visibility:hidden!important}`;

  const named = (): string[] =>
    options.experiments ?? [
      ...new Set([...document.querySelectorAll(`[${MARK}]`)].map((each) => each.getAttribute(MARK)!)),
    ];
  const parsed = (): Promise<void> =>
    new Promise((done) => {
      if (document.readyState !== "loading") done();
      else document.addEventListener("DOMContentLoaded", () => done(), { once: true });
    });

  const ask = async (): Promise<Variant[]> => {
    const who = refused() ? undefined : openPerson(store).now();
    if (!who) {
      store.remove(KEPT); // of before a withdrawal
      return [];
    }
    if (!options.experiments) await parsed();
    const experiments = named().sort();
    if (!experiments.length) return [];
    const name = `${who.u ?? ""}/${who.a}`;
    const asked = JSON.stringify([scenario, experiments]);
    const known = kept(store, name, asked, Date.now());
    if (known) return known;
    const body = {
      [who.u ? "userId" : "anonymousId"]: who.u ?? who.a,
      sessionId: who.s,
      scenario,
      experiments,
      context: { device: deviceOf(), referrer: who.f },
    };
    const url = `${endpoint}/v1/assignments${key ? "?key=" + key : ""}`;
    const reply = await call(url, JSON.stringify(body), waitMs);
    if (!reply?.told) return [];
    const found: Variant[] = reply.told.assignments;
    store.set(KEPT, JSON.stringify({ who: name, until: Date.now() + KEPT_MS, asked, told: found } satisfies Kept));
    return found;
  };

  const show = async (): Promise<Variant[]> => {
    const late = new Promise<undefined>((done) => setTimeout(() => done(undefined), waitMs));
    try {
      document.head.append(veil);
      // What comes too late changes nothing that somebody reads already.
      const found = await Promise.race([ask(), late]);
      if (!found) return [];
      await Promise.race([parsed(), late]);
      told = found;
      for (const each of told) safe(apply)(document, each);
      return told;
    } catch (error) {
      warn(error);
      return [];
    } finally {
      veil.remove();
    }
  };

  return { ready: show(), variant: (which) => told.find((each) => each.key === which) };
};
