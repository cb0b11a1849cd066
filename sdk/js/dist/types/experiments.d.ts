/** Experiments on a page: `openExperiments()` asks which variants the visitor gets, keeps them, and shows what they say without flicker. */
import { type Store } from "./store.js";
export { assigned, bucketOf, pointOf, type Declared } from "./buckets.js";
export interface Variant {
    key: string;
    variant: string;
    /** What the variant tells the page; null where it tells nothing. */
    payload: Record<string, unknown> | null;
}
export interface ExperimentsOptions {
    /** Where the platform answers, without a slash at the end; by default the page's own origin. */
    endpoint?: string;
    /** A public key, where the platform asks for one. */
    key?: string | undefined;
    /** Keys of the experiments that this page shows: what is told counts as shown. By default those that its elements name. */
    experiments?: string[] | undefined;
    /** Where on the site this is. */
    scenario?: string | undefined;
    /** How long marked elements stay hidden at most, in ms: then the page is shown as it is, and stays so. */
    waitMs?: number;
}
export interface Experiments {
    /** Once the variants are known, or given up: without consent, in time or not, this never fails. */
    ready: Promise<Variant[]>;
    /** The variant of an experiment; undefined while and where there is none. */
    variant(key: string): Variant | undefined;
}
/** Variants that are known already of this visitor, so that the next page need not wait. */
export declare const kept: (store: Store, who: string, asked: string, now: number) => Variant[] | undefined;
/** Write what a variant tells into the elements of its experiment: `data-tb-text="headline"` gets the payload's `headline`, as text. */
export declare const apply: (root: ParentNode, { key, variant, payload }: Variant) => void;
export declare const openExperiments: (options?: ExperimentsOptions) => Experiments;
