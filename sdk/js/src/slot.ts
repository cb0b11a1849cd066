/** Slots: places of a page that are filled with recommendations, by a template. */

import type { Answer, Item, Question } from "./contract.js";

/** What a template knows of an item: the answer's words, its place, and what `details` told. */
export type Shown = Item & { position: number } & Record<string, unknown>;

export interface SlotOptions extends Question {
  /** An element, made anew for each item, or the function that makes one; by default the `<template>` inside the slot. */
  template?: HTMLTemplateElement | ((item: Shown) => HTMLElement);
  /** Titles, prices, addresses …: what the page knows of items, by their ids. */
  details?: (itemIds: string[]) => Details | Promise<Details>;
  /** Ask before consent too, without any id: an answer for an unknown visitor. */
  withoutConsent?: boolean;
}

type Details = Record<string, Record<string, unknown>>;

export interface Slot {
  /** Ask and render again: it knows what was done meanwhile. False where the slot was left as it was. */
  refresh(): Promise<boolean>;
}

/** A copy of a template's first element, with `{{names}}` replaced in texts and attributes; nothing is read as HTML. */
export const fill = (template: HTMLTemplateElement, shown: Shown): HTMLElement => {
  const made = template.content.firstElementChild!.cloneNode(true) as HTMLElement;
  const put = (text: string, encode: (value: string) => string): string =>
    text.replace(/{{(\w+)}}/g, (_, name: string) => encode(String(shown[name] ?? "")));
  const asIs = (value: string): string => value;
  const walker = document.createTreeWalker(made, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node: Node | null = made; node; node = walker.nextNode()) {
    if (node instanceof Text) node.data = put(node.data, asIs);
    else
      for (const attribute of [...(node as Element).attributes]) {
        const within = /^(href|src|action)$/.test(attribute.name) && !/^{{\w+}}$/.test(attribute.value);
        attribute.value = put(attribute.value, within ? encodeURIComponent : asIs);
      }
  }
  return made;
};

/** Put an answer's items into `element`, marked with what they came in. */
export const render = async (
  element: HTMLElement,
  template: NonNullable<SlotOptions["template"]>,
  { items, recommendationId }: Answer,
  details: SlotOptions["details"],
): Promise<HTMLElement[]> => {
  const known = (await details?.(items.map(({ itemId }) => itemId))) ?? {};
  const made = items.map((item, position) => {
    const shown = { ...item, ...known[item.itemId], position };
    const node = typeof template === "function" ? template(shown) : fill(template, shown);
    node.dataset.tbItem = item.itemId;
    node.dataset.tbRec = recommendationId;
    node.dataset.tbPos = String(position);
    return node;
  });
  element.replaceChildren(...made);
  return made;
};
