/** The script tag: `<script async src="…/sdk.js" data-consent="granted"></script>` starts by itself, as `window.tailorbird`. */

import { start, type Tailorbird } from "./index.js";

type Call = [keyof Tailorbird, ...unknown[]];

const page = window as { tailorbird?: unknown };
const early = page.tailorbird;

// A second tag on the page changes nothing: two of us would tell everything twice.
if (!early || Array.isArray(early)) {
  const script = document.currentScript as HTMLScriptElement | null;
  const given = script?.dataset ?? {};
  const started = start({
    endpoint: given.endpoint ?? script?.src.replace(/\/sdk(\/\w+)?\.js.*/, "") ?? "",
    key: given.key,
    consent: given.consent === "granted",
    item: given.item,
    user: given.user,
    auto: given.auto !== "off",
    debug: "debug" in given,
  });
  const push = ([name, ...more]: Call): void => {
    (started[name] as (...more: unknown[]) => unknown)?.(...more);
  };
  page.tailorbird = { ...started, push };
  // What the page said before the script was there: (window.tailorbird ||= []).push(["view", "i42"])
  if (Array.isArray(early)) early.forEach(push);
}
