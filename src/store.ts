import type { ZodMiniType } from "zod/mini";
import { WeaveError } from "#src/errors.js";

/**
 * Data that survives a power cut. Values are plain data. When `put` or `remove` returns, the change is on disk, and may be sent
 * to other peers.
 */
export interface Store {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
  remove(key: string): void;
  /** Makes all these changes, or none: a value replaces the earlier one, undefined removes the key. */
  change(entries: readonly (readonly [key: string, value: unknown])[]): void;
  /** Returns all entries whose key begins with `prefix`, sorted by key. */
  list(prefix: string): [key: string, value: unknown][];
  close(): Promise<void>;
}

/** Makes a store in memory, for simulator and tests. Values are copied: later changes to an object do not change the store. */
export function memoryStore(contents: Map<string, unknown> = new Map()): Store {
  const put = (key: string, value: unknown) => void contents.set(key, structuredClone(value));
  return {
    get: (key) => structuredClone(contents.get(key)),
    put,
    remove: (key) => void contents.delete(key),
    change(entries) {
      for (const [key, value] of entries) value === undefined ? contents.delete(key) : put(key, value);
    },
    list: (prefix) =>
      [...contents]
        .filter(([key]) => key.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => [key, structuredClone(value)]),
    close: async () => {},
  };
}

/**
 * Reads and checks a value; undefined when the key is missing.
 *
 * @param next the remedy for a damaged value
 * @throws WEAVE_STORE when the stored value does not have the shape
 */
export function readStored<T>(store: Store, key: string, shape: ZodMiniType<T>, next: string): T | undefined {
  const value = store.get(key);
  return value === undefined ? undefined : checkStored(key, value, shape, next);
}

/** Checks a value that was read from a store. @throws WEAVE_STORE when it does not have the shape */
export function checkStored<T>(key: string, value: unknown, shape: ZodMiniType<T>, next: string): T {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new WeaveError("WEAVE_STORE", `the database holds a damaged '${key}'`, { next });
}
