// Type-checked, never run: how a page uses the SDK, and what the types refuse.
import { start, type Answer, type Tailorbird } from "../src/index.js";

const tailorbird: Tailorbird = start({ endpoint: "https://api.shop.example", consent: true });
tailorbird.track("size_chosen", { itemId: "i1", properties: { size: 42 } });
tailorbird.purchase([{ itemId: "i1", value: 12.5 }], { orderId: "o-1" });
const answer: Promise<Answer | null> = tailorbird.recommend({ scenario: "home", filter: "price < 50" });
answer.then((given) => given?.items.map(({ itemId }) => itemId));
answer.then((given) => given?.rules?.some(({ key }) => key === given.segment?.key));
tailorbird.slot(document.body, {
  scenario: "home",
  details: (ids) => Object.fromEntries(ids.map((id) => [id, { title: id }])),
  template: ({ itemId, position, title }) => Object.assign(document.createElement("p"), { textContent: `${position} ${itemId} ${title}` }),
});

// @ts-expect-error: an amount is a number
tailorbird.addToCart("i1", { value: "12.50" });
// @ts-expect-error: the contract calls it itemId
tailorbird.track("view", { item: "i1" });
// @ts-expect-error: what might be no answer is not to be taken for one
answer.then((given) => given.items);
