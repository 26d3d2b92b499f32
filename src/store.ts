/**
 * What a peer must still know after a power cut. Values are plain data. When `put` or `remove` returns, the change is on
 * disk: persist first, then tell.
 */
export interface Store {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
  remove(key: string): void;
  close(): Promise<void>;
}

/** For the simulator and tests. Values are copied, so that later changes to them do not leak in, as with a disk. */
export function memoryStore(contents: Map<string, unknown> = new Map()): Store {
  return {
    get: (key) => structuredClone(contents.get(key)),
    put: (key, value) => void contents.set(key, structuredClone(value)),
    remove: (key) => void contents.delete(key),
    close: async () => {},
  };
}
