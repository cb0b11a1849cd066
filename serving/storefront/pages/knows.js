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

const deeds = { add_to_cart: "into the basket", purchase: "bought", view: "looked at", search: "searched", hide: "hidden", like: "liked", click: "clicked", other: "did" };
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
  const { events, windows: counted, categories, brands, price, lastEvents, hidden } = await answer.json();
  document.querySelector("#who").textContent = events ? `${visitor}: ${events} events` : `${visitor}: nothing yet, look around.`;
  const ids = [...new Set([...lastEvents.map(({ itemId }) => itemId), ...hidden])].filter(Boolean);
  const titles = ids.length ? await (await fetch(`/api/items?ids=${ids.map(encodeURIComponent).join(",")}`)).json() : {};
  document.querySelector("#knows").replaceChildren(
    ...under("Events in the last", windows(counted)),
    ...under("Likes", ...categories.slice(0, 6).map(bar)),
    ...under("Brands", ...brands.slice(0, 4).map(bar)),
    ...(price ? under("Usual prices", made("div", "", `${price.low.toFixed(2)} to ${price.high.toFixed(2)}`)) : []),
    ...under("Just now", ...lastEvents.slice(0, 8).map((each) => deed(each, titles))),
    ...under("Never again", ...hidden.map((id) => made("div", "quiet", titles[id]?.title ?? id))),
  );
  newest = Math.max(newest, ...lastEvents.map(({ at }) => Date.parse(at)));
};
