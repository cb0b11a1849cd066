/** Slots: places of a page that are filled with recommendations, by a template. */
import type { Answer, Item, Question } from "./contract.js";
/** What a template knows of an item: the answer's words, its place, and what `details` told. */
export type Shown = Item & {
    position: number;
} & Record<string, unknown>;
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
export declare const fill: (template: HTMLTemplateElement, shown: Shown) => HTMLElement;
/** Put an answer's items into `element`, marked with what they came in. */
export declare const render: (element: HTMLElement, template: NonNullable<SlotOptions["template"]>, { items, recommendationId }: Answer, details: SlotOptions["details"]) => Promise<HTMLElement[]>;
export {};
