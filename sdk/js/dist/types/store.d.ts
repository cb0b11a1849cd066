/** What is kept on the device: localStorage, and this page's memory where that is blocked or full. */
export interface Store {
    get(key: string): string | null;
    set(key: string, value: string): void;
    remove(key: string): void;
    /** Every key with this beginning, in order. */
    keys(prefix: string): string[];
    /** Whether the key ends with this page. */
    fleeting(key: string): boolean;
}
export declare const openStore: (open: () => Storage) => Store;
