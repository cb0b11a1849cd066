/**
 * Events on their way: each under a key of its own, so that tabs share one queue without overwriting each other, and gone
 * only once the platform has said 202. What was sent and not acknowledged is sent again: a message id counts once.
 */

import type { Event } from "./contract.js";
import { delayOf } from "./delay.js";
import { newClock, newId } from "./ids.js";
import type { Store } from "./store.js";

const WAITING = "tailorbird.q.";
const NOT_BEFORE = "tailorbird.wait";
const LEASE = "tailorbird.lease";
const LONGEST_MS = 3_700_000;
const PAUSE_MS = 1_000;
const TIMEOUT_MS = 20_000;
/** Of a request: three bytes each at most, and browsers let 64 KiB outlive their page. */
const BATCH_CHARACTERS = 20_000;
const BATCH_EVENTS = 100;
/** Of all that waits; the oldest go first. */
const QUEUE_CHARACTERS = 500_000;
/** Answers that say: not these events. */
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
  warn: (what: unknown) => void,
): Queue => {
  const stamp = newClock(Date.now);
  const tab = newId();
  const mine = new Set<string>();
  let handed = new Set<string>();
  let sending: string[] = [];
  let size = Infinity; // not known before the first event
  let most = BATCH_EVENTS;
  let failures = 0;
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
    let length = 0;
    for (const key of keys) {
      const text = store.get(key);
      if (!text) continue; // another tab was faster
      length += text.length;
      if (taken.length >= most || (taken.length && length > BATCH_CHARACTERS)) break;
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

  const post = async (texts: string[]): Promise<[number, string | null]> => {
    stop = new AbortController();
    const out = setTimeout(() => stop!.abort(), TIMEOUT_MS);
    try {
      const sent = body(texts);
      // A text: what pages may send to other origins without asking first.
      const reply = await fetch(url, {
        method: "POST",
        body: sent,
        keepalive: sent.length < BATCH_CHARACTERS + 200,
        credentials: "omit",
        signal: stop.signal,
      });
      if (reply.status === 202) {
        const { rejected } = await reply.json();
        if (rejected.length) warn(rejected);
      } else warn(reply.status);
      return [reply.status, reply.headers.get("retry-after")];
    } catch (error) {
      warn(error);
      return [0, null];
    } finally {
      clearTimeout(out);
    }
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
      const [status, told] = await post(texts);
      sending = [];
      if (status === 202) {
        drop(taken);
        keys = keys.slice(taken.length);
        failures = 0;
        most = BATCH_EVENTS;
      } else if (REFUSED.includes(status)) {
        // One of them is at fault: ask in halves, and let go of the one.
        if (taken.length > 1) most = taken.length >> 1;
        else drop(taken);
        keys = [];
      } else {
        const delay = delayOf(++failures, told, Date.now(), Math.random());
        if (status) store.set(NOT_BEFORE, String(Date.now() + delay)); // all tabs and the next pages wait too
        return later(delay);
      }
    }
    if (allowed()) later(rest());
  };

  // One tab sends at a time. Pages without TLS have no locks: a lease that ends by itself.
  const leased = async (): Promise<void> => {
    const [until, holder] = (store.get(LEASE) ?? "0 ").split(" ");
    if (Number(until) > Date.now() && holder !== tab) return later(PAUSE_MS);
    store.set(LEASE, `${Date.now() + TIMEOUT_MS} ${tab}`);
    await drain();
    store.remove(LEASE);
  };
  const alone = async (): Promise<void> => {
    if (!allowed() || !store.keys(WAITING).length) return;
    if (!navigator.locks) return leased();
    await navigator.locks
      .request(LEASE, { ifAvailable: true }, (lock) => (lock ? drain() : later(PAUSE_MS)))
      .catch(leased);
  };
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    return (running ??= alone()
      .catch(warn)
      .finally(() => {
        running = undefined;
      }));
  };

  return {
    push(event) {
      const timestamp = stamp();
      const messageId = event.messageId ?? newId();
      const text = JSON.stringify({ ...event, messageId, timestamp });
      const key = WAITING + timestamp + messageId;
      store.set(key, text);
      mine.add(key);
      size += text.length;
      if (size > QUEUE_CHARACTERS) trim();
      later(PAUSE_MS);
    },
    flush,
    leave() {
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
      drop([...store.keys(WAITING), NOT_BEFORE, LEASE]);
      mine.clear();
      handed = new Set();
    },
    retry() {
      failures = 0;
      flush();
    },
  };
};
