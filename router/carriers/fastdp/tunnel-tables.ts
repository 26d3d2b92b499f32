import type { EntryTable, PresentTunnelEntry, RefusedEntry, TunnelEntry, TunnelName } from "#router/macs/forwarding.js";
import type { MacText } from "#src/mac.js";

/** The tables of all tunnels of this host as one: each MAC is in that of its peer's tunnel. A MAC behind the TAP alone is in the first. */
export class TunnelTables implements EntryTable {
  readonly #tables: ReadonlyMap<TunnelName, EntryTable>;

  /** @param tables of the tunnels that this host has; at least one */
  constructor(tables: ReadonlyMap<TunnelName, EntryTable>) {
    this.#tables = tables;
  }

  async set(entries: readonly TunnelEntry[]): Promise<readonly RefusedEntry[]> {
    const failures: RefusedEntry[] = [];
    for (const [name, table] of this.#tables) {
      const ours = entries.filter((entry) => this.#tableOf(entry) === name);
      if (ours.length > 0) failures.push(...(await table.set(ours)));
    }
    return failures;
  }

  async remove(macs: readonly MacText[]): Promise<readonly RefusedEntry[]> {
    const failures: RefusedEntry[] = [];
    for (const table of this.#tables.values()) failures.push(...(await table.remove(macs)));
    return failures;
  }

  async entries(): Promise<ReadonlyMap<MacText, PresentTunnelEntry>> {
    const found = new Map<MacText, PresentTunnelEntry>();
    for (const [tunnel, table] of this.#tables)
      for (const [mac, entry] of await table.entries())
        if (entry.host !== undefined || !found.has(mac))
          found.set(mac, entry.host === undefined ? entry : { ...entry, tunnel });
    return found;
  }

  async reconcile(wanted: ReadonlyMap<MacText, TunnelEntry>) {
    const sum = { added: 0, removed: 0, failures: [] as RefusedEntry[] };
    for (const [name, table] of this.#tables) {
      const ours = new Map<MacText, TunnelEntry>();
      for (const [mac, entry] of wanted) {
        if (this.#tableOf(entry) === name) ours.set(mac, entry);
        // The port of the TAP is common to all; the entry of another tunnel is none of this one.
        else if (entry.via === "tap") ours.set(mac, { mac, via: "tap" });
      }
      const { added, removed, failures } = await table.reconcile(ours);
      sum.added += added;
      sum.removed += removed;
      sum.failures.push(...failures);
    }
    return sum;
  }

  #tableOf({ tunnel }: TunnelEntry): TunnelName {
    return tunnel !== undefined && this.#tables.has(tunnel) ? tunnel : this.#tables.keys().next().value!;
  }
}
