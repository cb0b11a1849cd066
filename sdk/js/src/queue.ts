/**
 * Events on their way: in parcels of what happened within a tenth of a second, each under a key of its own, so that tabs
 * share one queue without overwriting each other. A parcel goes once the platform has said 202. What was sent and not
 * acknowledged is sent again: a message id counts once.
 */

import { call } from "./call.js";
import type { Event } from "./contract.js";
import { delayOf } from "./delay.js";
import { newClock, newId } from "./ids.js";
import { warn } from "./safe.js";
import type { Store } from "./store.js";

const WAITING = "tailorbird.q.";
const NOT_BEFORE = "tailorbird.wait";
const LOCK = "tailorbird";
const LONGEST_MS = 3_700_000;
const PAUSE_MS = 1_000;
/** How soon an event is kept: a page that ends keeps it at once, only one that crashes loses what is younger. */
const KEEP_MS = 100;
const TIMEOUT_MS = 20_000;
/** Of a request. */
const BATCH_CHARACTERS = 50_000;
/** What browsers let outlive its page: 64 KiB. */
const OUTLIVING_BYTES = 65_000;
const BATCH_PARCELS = 100;
/** Of all that waits; the oldest go first. */
const QUEUE_CHARACTERS = 500_000;
/** Answers that say: not these. */
const REFUSED = [400, 413, 422];

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

export const openQueue = (
  store: Store,
  url: string,
  allowed: () => unknown,
  kept: () => void,
): Queue => {
  const stamp = newClock(Date.now);
  const tab = newId();
  const mine = new Set<string>();
  let handed = new Set<string>();
  let sending: string[] = [];
  let size = Infinity; // not known before the first event
  let most = BATCH_PARCELS;
  let failures = 0;
  let fresh: string[] = []; // JSON texts, not kept yet
  let began = ""; // when the first of them happened
  let length = 0;
  let keeper: ReturnType<typeof setTimeout> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | undefined;
  let stop: AbortController | undefined;

  const later = (ms: number): void => {
    timer ??= setTimeout(flush, ms);
  };
  const body = (texts: string[]): string =>
    `{"sentAt":"${new Date().toISOString()}","batch":[${texts.join()}]}`;
  // A wait that nobody asked for comes of a clock that was set.
  const rest = (): number => {
    const ms = (Number(store.get(NOT_BEFORE)) || 0) - Date.now();
    return ms > LONGEST_MS ? 0 : ms;
  };
  const take = (keys: Iterable<string>): [string[], string[]] => {
    const taken: string[] = [];
    const texts: string[] = [];
    let total = 0;
    for (const key of keys) {
      const text = store.get(key);
      if (!text) continue; // another tab was faster
      total += text.length;
      if (taken.length >= most || (taken.length && total > BATCH_CHARACTERS)) break;
      taken.push(key);
      texts.push(text);
    }
    return [taken, texts];
  };
  const drop = (keys: string[]): void => {
    for (const key of keys) {
      store.remove(key);
      mine.delete(key);
      handed.delete(key);
    }
  };
  const trim = (): void => {
    const keys = store.keys(WAITING);
    const lengths = keys.map((key) => store.get(key)?.length ?? 0);
    size = lengths.reduce((sum, length) => sum + length, 0);
    for (let n = 0; size > QUEUE_CHARACTERS * 0.9 && n < keys.length; n++) {
      drop([keys[n]!]);
      size -= lengths[n]!;
    }
  };

  const keep = (): void => {
    clearTimeout(keeper);
    keeper = undefined;
    const text = fresh.join();
    fresh = [];
    length = 0;
    if (!text || !allowed()) return;
    kept();
    const key = WAITING + began + tab;
    store.set(key, text);
    mine.add(key);
    size += text.length;
    if (size > QUEUE_CHARACTERS) trim();
  };
  // One of its events is at fault: they go one by one from now on, and one that is refused by itself goes no more.
  const split = (key: string): void => {
    let events: unknown[] = [];
    try {
      events = JSON.parse(`[${store.get(key)}]`);
    } catch {
      // Nothing of it can be read.
    }
    drop([key]);
    if (events.length > 1) events.forEach((event, n) => store.set(key + (1000 + n), JSON.stringify(event)));
  };

  const drain = async (): Promise<void> => {
    let keys: string[] = [];
    while (allowed() && rest() <= 0) {
      if (!keys.length) keys = store.keys(WAITING);
      const [taken, texts] = take(keys);
      if (!taken.length) {
        if (!keys.length) mine.clear();
        return;
      }
      sending = taken;
      const sent = body(texts);
      stop = new AbortController();
      const reply = await call(url, sent, TIMEOUT_MS, stop, new Blob([sent]).size < OUTLIVING_BYTES);
      const status = reply?.status ?? 0;
      sending = [];
      if (status === 202) {
        if (reply?.told.rejected?.length) warn(reply.told.rejected);
        drop(taken);
        keys = keys.slice(taken.length);
        failures = 0;
        most = BATCH_PARCELS;
      } else if (REFUSED.includes(status)) {
        if (taken.length > 1) most = taken.length >> 1;
        else split(taken[0]!);
        keys = [];
      } else {
        const delay = delayOf(++failures, reply?.wait, Date.now(), Math.random());
        if (status) store.set(NOT_BEFORE, String(Date.now() + delay)); // all tabs and the next pages wait too
        return later(delay);
      }
    }
    if (allowed()) later(rest());
  };

  // One tab sends at a time. Pages without TLS have no locks: there tabs may send the same, which counts once.
  const alone = async (): Promise<void> => {
    if (!allowed() || !store.keys(WAITING).length) return;
    const locked = (lock: Lock | null): unknown => (lock ? drain() : later(PAUSE_MS));
    await (navigator.locks?.request(LOCK, { ifAvailable: true }, locked).catch(drain) ?? drain());
  };
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    keep();
    return (running ??= alone()
      .catch(warn)
      .finally(() => {
        running = undefined;
      }));
  };

  return {
    push(event) {
      const timestamp = stamp();
      const text = JSON.stringify({ ...event, messageId: event.messageId ?? newId(), timestamp });
      if (length + text.length > BATCH_CHARACTERS) keep();
      if (!fresh.length) began = timestamp;
      fresh.push(text);
      length += text.length + 1;
      keeper ??= setTimeout(keep, KEEP_MS);
      later(PAUSE_MS);
    },
    flush,
    leave() {
      keep();
      const waits = rest() > 0;
      const left = [...mine].filter(
        (key) => !sending.includes(key) && !handed.has(key) && (!waits || store.fleeting(key)),
      );
      const [taken, texts] = take(left);
      if (allowed() && taken.length && navigator.sendBeacon(url, body(texts)))
        for (const key of taken) handed.add(key);
    },
    clear() {
      stop?.abort();
      clearTimeout(timer);
      timer = undefined;
      fresh = [];
      drop([...store.keys(WAITING), NOT_BEFORE]);
      mine.clear();
      handed = new Set();
    },
    retry() {
      failures = 0;
      flush();
    },
  };
};
