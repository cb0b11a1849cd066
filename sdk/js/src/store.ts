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

export const openStore = (open: () => Storage): Store => {
  const memory = new Map<string, string>();
  let disk: Storage | undefined;
  try {
    disk = open();
  } catch {
    // Blocked: all is kept in memory.
  }
  return {
    get: (key) => memory.get(key) ?? disk?.getItem(key) ?? null,
    set(key, value) {
      memory.delete(key);
      try {
        disk!.setItem(key, value);
      } catch {
        disk?.removeItem(key); // what memory holds is the newer of the two
        memory.set(key, value);
      }
    },
    remove(key) {
      memory.delete(key);
      disk?.removeItem(key);
    },
    keys: (prefix) =>
      [...memory.keys(), ...Object.keys(disk ?? {})].filter((key) => key.startsWith(prefix)).sort(),
    fleeting: (key) => memory.has(key),
  };
};
