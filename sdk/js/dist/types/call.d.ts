/** One question to the platform: a text, which pages may POST to other origins without asking first, and never a cookie. */
/** The answer and, of a good one, what it told; undefined where none came within `ms`, or none that can be read. */
export declare const call: (url: string, body: string, ms: number, stop?: AbortController, outlives?: boolean, method?: string) => Promise<{
    status: number;
    wait: string | null;
    told?: any;
} | undefined>;
