/** What goes over the wire: the bodies of /v1/events and /v1/recommendations, in the platform's own names. */
/** What an event may say besides its type; who did it and when is added at capture. */
export interface About {
    itemId?: string | undefined;
    /** The answer that showed the item; by default the one it was last clicked in. */
    recommendationId?: string | undefined;
    /** The item's place in that answer, from 0. */
    position?: number | undefined;
    /** An amount of money, or the number of a rating. */
    value?: number | undefined;
    properties?: Record<string, unknown> | undefined;
    /** An id of your own, where the same thing may be told twice: it counts once, for good. */
    messageId?: string | undefined;
}
export interface Event extends About {
    type: string;
    userId?: string | undefined;
    anonymousId: string;
    sessionId: string;
    context: Context;
}
export interface Context {
    device: string;
    referrer: string;
    consent: true | Purposes;
}
/** What the person allows and refuses. */
export type Purposes = Record<string, boolean>;
/** What may be asked of /v1/recommendations besides who asks. */
export interface Question {
    scenario?: string | undefined;
    numResults?: number | undefined;
    itemId?: string | undefined;
    filter?: string | Record<string, unknown> | undefined;
    includeItemIds?: string[] | undefined;
    excludeItemIds?: string[] | undefined;
    segmentFilter?: {
        filter: string | undefined;
        segments: string[];
    }[];
    boost?: {
        filter: string | undefined;
        by: number;
        segments?: string[] | undefined;
    }[];
    pin?: {
        itemId: string | undefined;
        place: number;
    }[];
    maxPerCategory?: number | undefined;
    maxPerBrand?: number | undefined;
    explain?: boolean | undefined;
    cursor?: string | undefined;
}
export interface Item {
    itemId: string;
    score: number;
    sources: string[];
    reasons: string[];
}
export interface Answer {
    recommendationId: string;
    items: Item[];
    model: {
        name: string;
        version: string;
    };
    arm: string;
    fallback: string | null;
    partial: boolean;
    cursor: string | null;
    /** Where the person belongs, of an answer that was asked to explain. */
    segment?: {
        key: string;
        name: string;
    } | null;
    /** The written rules that hold of them, of such an answer. */
    rules?: {
        key: string;
        name: string;
    }[];
    tookMs: number;
}
