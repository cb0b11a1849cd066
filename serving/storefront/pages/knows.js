// What the platform knows of the visitor: drawn anew from the live profile.
const made = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const under = (title, ...parts) => (parts.length ? [made("h3", "", title), ...parts] : []);

const windows = (counted) => {
  const row = made("div", "windows");
  for (const [name, { events, complete }] of Object.entries(counted)) {
    const cell = made("div", "");
    cell.append(made("b", "", `${complete ? "" : "≥ "}${events}`), made("span", "quiet", name));
    row.append(cell);
  }
  return row;
};

const bar = ({ name, share }) => {
  const row = made("div", "bar");
  const filled = made("span", "", name?.split(">").at(-1).trim() ?? "gone from the shop");
  filled.style.setProperty("--share", `${Math.round(share * 100)}%`);
  row.append(filled, made("span", "", `${Math.round(share * 100)} %`));
  return row;
};

const percent = (share) => `${Math.round(share * 100)} %`;
const MOVED_MS = 20_000;
let belonged = {}; // who was in which segment when it was drawn last
let moved = { until: 0 };

/** The segment that a visitor is in, and, for a while, what they moved from. */
const belongs = (visitor, segment) => {
  if (!segment) return [];
  const { key, name, incumbent, memberships } = segment;
  if (belonged.visitor !== visitor) moved = { until: 0 };
  else if (belonged.key !== key && key) moved = { from: belonged.key && belonged.name, to: name, until: Date.now() + MOVED_MS, fresh: true };
  belonged = { visitor, key, name };
  if (!key) return [made("div", "segment quiet", "No segment yet: a few more clicks, and there is one.")];
  const card = made("div", "segment");
  const level = made("div", "level");
  const own = memberships.find((each) => each.key === key)?.share ?? 0;
  level.append(made("span", "track"), made("b", "", percent(own)));
  level.style.setProperty("--share", percent(own).replace(" ", ""));
  level.title = `${percent(own)} of you is this segment, by what you did`;
  card.append(made("strong", "", name), level);
  const usual = memberships.find((each) => each.key === incumbent);
  if (incumbent !== key && usual) card.append(made("div", "quiet", `usually: ${usual.name}`));
  const others = memberships.filter((each) => each.key !== key && each.key !== incumbent && each.share >= 0.05).slice(0, 2);
  for (const each of others) card.append(made("div", "quiet", `${percent(each.share)} ${each.name}`));
  if (Date.now() >= moved.until) return [card];
  const line = made("div", `moved${moved.fresh ? " fresh" : ""}`);
  line.append(made("b", "", moved.from ? "you moved: " : "we know you now: "));
  if (moved.from) line.append(made("s", "", moved.from), " ▸ ");
  line.append(made("em", "", moved.to));
  moved.fresh = false;
  setTimeout(() => line.remove(), moved.until - Date.now());
  return [line, card];
};

const deeds = { add_to_cart: "into the basket", purchase: "bought", view: "looked at", search: "searched", hide: "hidden", like: "liked", click: "clicked", other: "came by" };
let newest = 0;
const deed = ({ type, itemId, at }, titles) => {
  const row = made("div", "deed");
  const when = Date.parse(at);
  if (when > newest) row.classList.add("fresh");
  const seconds = Math.max(0, Math.round((Date.now() - when) / 1000));
  const ago = seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
  row.append(made("b", "", `${deeds[type] ?? type} ${titles[itemId]?.title ?? itemId ?? ""}`), made("span", "quiet", ago));
  return row;
};

/** Ask for the profile and draw it; where nobody answers, what stands there stays. */
export const knows = async (visitor) => {
  const answer = await fetch(`/api/profile?user=${encodeURIComponent(visitor)}`);
  if (!answer.ok) return;
  const { events, segment, windows: counted, categories, brands, price, lastEvents, hidden } = await answer.json();
  document.querySelector("#who").textContent = events ? `${visitor}: ${events} event${events === 1 ? "" : "s"}` : `${visitor}: nothing yet, look around.`;
  const ids = [...new Set([...lastEvents.map(({ itemId }) => itemId), ...hidden])].filter(Boolean);
  const titles = ids.length ? await (await fetch(`/api/items?ids=${ids.map(encodeURIComponent).join(",")}`)).json() : {};
  document.querySelector("#knows").replaceChildren(
    ...under("Who you are, right now", ...belongs(visitor, segment)),
    ...under("Events in the last", windows(counted)),
    ...under("Likes", ...categories.slice(0, 6).map(bar)),
    ...under("Brands", ...brands.slice(0, 4).map(bar)),
    ...(price ? under("Usual prices", made("div", "", `${price.low.toFixed(2)} to ${price.high.toFixed(2)}`)) : []),
    ...under("Just now", ...lastEvents.slice(0, 8).map((each) => deed(each, titles))),
    ...under("Never again", ...hidden.map((id) => made("div", "quiet", titles[id]?.title ?? id))),
  );
  newest = Math.max(newest, ...lastEvents.map(({ at }) => Date.parse(at)));
};
