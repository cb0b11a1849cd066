/** One question to the platform: a text, which pages may POST to other origins without asking first, and never a cookie. */

import { warn } from "./safe.js";

/** The answer and, of a good one, what it told; undefined where none came within `ms`, or none that can be read. */
export const call = async (
  url: string,
  body: string,
  ms: number,
  stop = new AbortController(),
  outlives = false,
  method = "POST",
): Promise<{ status: number; wait: string | null; told?: any } | undefined> => {
  const timer = setTimeout(() => stop.abort(), ms);
  try {
    const reply = await fetch(url, {
      method,
      body,
      keepalive: outlives,
      credentials: "omit",
      signal: stop.signal,
    });
    const { ok, status } = reply;
    if (!ok) warn(status);
    return { status, wait: reply.headers.get("retry-after"), told: ok && (await reply.json()) };
  } catch (error) {
    return warn(error) as undefined;
  } finally {
    clearTimeout(timer);
  }
};
