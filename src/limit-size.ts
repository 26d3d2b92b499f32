/** Deletes the entries of a map or set that were inserted first, until at most `max` are left. */
export function limitSize<K>(entries: Pick<Map<K, unknown>, "size" | "keys" | "delete">, max: number): void {
  // Both iterate in the order of insertion (ECMA-262, 24.1 and 24.2).
  while (entries.size > max) entries.delete(entries.keys().next().value as K);
}
