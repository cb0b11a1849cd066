// The shop: departments, shelves, one item, and a slot that the platform fills anew after everything that is done.
import { knows } from "/knows.js";

const $ = (selector) => document.querySelector(selector);
const shop = window.tailorbird;
const told = async (path) => (await fetch(path)).json();
const priceOf = ({ price }) => (price == null ? "" : price.toFixed(2));

let visitor = localStorage.getItem("shop-visitor");
const begin = () => {
  visitor = `visitor-${Math.random().toString(36).slice(2, 8)}`;
  localStorage.setItem("shop-visitor", visitor);
};
if (!visitor) begin();
shop.identify(visitor);

const hue = (text) => [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
const paint = (element, item) => {
  element.style.setProperty("--hue", hue(item.category || item.title));
  element.textContent = item.category.slice(0, 1) || item.title.slice(0, 1); // letters are in every font
};
const card = (item) => {
  const made = $("#card").content.firstElementChild.cloneNode(true);
  const [title, about] = [made.querySelector("b"), made.querySelector(".quiet")];
  made.href = `#/item/${encodeURIComponent(item.itemId)}`;
  title.textContent = item.title;
  about.textContent = [item.brand, item.category].filter(Boolean).join(" · ");
  made.querySelector(".price").textContent = priceOf(item);
  made.querySelector(".why").textContent = item.why ?? "";
  paint(made.querySelector(".picture"), item);
  return made;
};

const words = {
  cooccurrence: "goes with what you looked at",
  sequence: "comes next, after what you did",
  content: "like what you looked at",
  popularity: "liked by many",
};
const whyOf = ({ sources = [] }) => sources.map((name) => words[name]).find(Boolean) ?? "";
const details = (ids) => told(`/api/items?ids=${ids.map(encodeURIComponent).join(",")}`);
const forYou = shop.slot($("#for-you"), {
  scenario: "home",
  numResults: 8,
  details,
  template: (item) => card({ title: item.itemId, ...item, why: whyOf(item) }),
});

// After everything that is done: it is sent, and the very next answer and profile know of it.
const after = async () => {
  await shop.flush();
  await Promise.all([forYou.refresh(), knows(visitor)]);
};

const showItem = async (id) => {
  const item = (await details([id]))[id];
  const place = $("#item");
  place.hidden = !item;
  if (!item) return;
  place.replaceChildren();
  const picture = Object.assign(document.createElement("span"), { className: "picture" });
  paint(picture, item);
  const text = document.createElement("div");
  const say = (tag, content, className = "") => text.append(Object.assign(document.createElement(tag), { textContent: content, className }));
  say("h1", item.title);
  say("p", `${item.brand} · ${item.category}`, "quiet");
  say("p", item.text);
  say("p", priceOf(item), "price");
  const deeds = Object.assign(document.createElement("div"), { className: "deeds" });
  const offer = (label, deed, main) => {
    const button = Object.assign(document.createElement("button"), { textContent: label, className: main ? "main" : "" });
    button.onclick = async () => { deed(); button.textContent = "✓ " + label; await after(); };
    deeds.append(button);
  };
  const about = item.price == null ? {} : { value: item.price };
  offer("Put into the basket", () => shop.addToCart(id, about), true);
  offer("Buy", () => shop.purchase(id, about));
  offer("I like it", () => shop.track("like", { itemId: id }));
  offer("Never show it again", () => shop.track("hide", { itemId: id }));
  text.append(deeds);
  place.append(picture, text);
  scrollTo({ top: 0, behavior: "smooth" });
  shop.view(id);
};

const showShelf = async (department, query = "") => {
  $("#shelf-name").textContent = query ? `Found for “${query}”` : department || "In the shop";
  const items = await told(`/api/shelf?department=${encodeURIComponent(department)}&query=${encodeURIComponent(query)}`);
  $("#shelf").replaceChildren(...items.map(card));
  for (const link of document.querySelectorAll("nav a")) link.toggleAttribute("aria-current", link.textContent === department);
};

let department = "";
const route = async () => {
  const [, kind, name] = location.hash.split("/").map(decodeURIComponent);
  $("#item").hidden = true;
  if (kind === "item") await showItem(name);
  else {
    department = kind === "in" ? name : "";
    if (document.body.dataset.ready) shop.page(); // the first is told by itself
  }
  await Promise.all([showShelf(department), after()]);
};

$("#search").onsubmit = async (event) => {
  event.preventDefault();
  const query = new FormData(event.target).get("q").trim();
  if (!query) return;
  shop.search(query);
  await Promise.all([showShelf("", query), after()]);
};
$("#new").onclick = async () => {
  shop.logout();
  begin();
  shop.identify(visitor);
  if (["", "#/"].includes(location.hash)) await route();
  else location.hash = "#/"; // which is heard of
};
addEventListener("hashchange", route);

const link = (name) => Object.assign(document.createElement("a"), { textContent: name, href: `#/in/${encodeURIComponent(name)}` });
$("#departments").replaceChildren(...(await told("/api/departments")).map(link));
await route();
document.body.dataset.ready = "yes";
