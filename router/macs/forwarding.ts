import type { PeerName } from "#mesh/peer.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { MacText } from "#src/mac.js";

/** A tunnel of the kernel: VXLAN in clear, or inside WireGuard. */
export type TunnelName = "clear" | "encrypted";

/** Where the bridge sends frames to a MAC of another host. */
export interface TunnelEntry {
  readonly mac: MacText;
  /** The port of the bridge: that of the kernel's tunnel, or the TAP of the router. */
  readonly via: "vxlan" | "tap";
  /** The tunnel that knows the MAC; undefined: none. */
  readonly tunnel?: TunnelName;
  /** The address to which the tunnel sends frames for the MAC; undefined: the tunnel does not know the MAC. */
  readonly host?: string;
  /** The UDP port there, if not our own. */
  readonly port?: number;
}

/** An entry as the kernel has it. `via` is undefined where that of the bridge is missing. */
export type PresentTunnelEntry = Omit<TunnelEntry, "via"> & { readonly via: TunnelEntry["via"] | undefined };

export interface RefusedEntry {
  readonly mac: MacText;
  readonly reason: string;
}

/** The entries of a bridge and of its tunnel in the kernel. */
export interface EntryTable {
  set(entries: readonly TunnelEntry[]): Promise<readonly RefusedEntry[]>;
  remove(macs: readonly MacText[]): Promise<readonly RefusedEntry[]>;
  /** The entries that the kernel has, also those of an earlier process. */
  entries(): Promise<ReadonlyMap<MacText, PresentTunnelEntry>>;
  /** Makes the kernel have exactly these entries. */
  reconcile(wanted: ReadonlyMap<MacText, TunnelEntry>): Promise<{
    readonly added: number;
    readonly removed: number;
    readonly failures: readonly RefusedEntry[];
  }>;
}

/** A path of the kernel to a peer. */
export interface PeerPath {
  readonly tunnel: TunnelName;
  /** The peer's address in the tunnel, IPv4. */
  readonly host: string;
  /** Its UDP port; undefined: that of our own tunnel. */
  readonly port: number | undefined;
  /** Whether frames take it. Without it the tunnel knows the peer, for heartbeats, and the bridge sends frames to the TAP. */
  readonly carries: boolean;
}

/** Entries of one call: the kernel's lock is held for some 10 ms. */
const BATCH = 400;

/**
 * The MACs of other hosts in the kernel's tables: each has an entry on the bridge, which sends its frames to the tunnel or to the TAP, and
 * one of the tunnel. The TAP does not learn, as it would take MACs from the tunnel with every broadcast.
 *
 * Changes are collected while the kernel applies earlier ones.
 */
export class Forwarding {
  readonly #log: Log;
  /** The host of each MAC. */
  readonly #at = new Map<MacText, PeerName>();
  readonly #of = new Map<PeerName, Set<MacText>>();
  readonly #paths = new Map<PeerName, PeerPath>();
  readonly #changed = new Set<MacText>();
  readonly #failed = new Map<MacText, string>();
  /** Entries of an earlier process, which frames take until this one knows better. */
  #inherited = new Map<MacText, TunnelEntry>();
  #table: EntryTable | undefined;
  #applying: Promise<void> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Number of MACs. */
  get size(): number {
    return this.#at.size;
  }

  /** Number of MACs that take the kernel's path now. */
  get carried(): number {
    let sum = 0;
    for (const [peer, { carries }] of this.#paths) if (carries) sum += this.#of.get(peer)?.size ?? 0;
    return sum;
  }

  /** Number of MACs that the kernel refused, and its last reason; "" without any. */
  get failures(): { readonly count: number; readonly reason: string } {
    return { count: this.#failed.size, reason: [...this.#failed.values()].at(-1) ?? "" };
  }

  /** The path of the kernel to a peer; undefined: none. */
  pathTo(peer: PeerName): PeerPath | undefined {
    return this.#paths.get(peer);
  }

  /** Sets the kernel's tables. Undefined: there are none, and nothing is written. */
  use(table: EntryTable | undefined): void {
    this.#table = table;
  }

  /**
   * Takes over the entries of an earlier process: frames have taken them meanwhile, and go on until the path to their peer is decided, or
   * {@link disinherit}.
   *
   * @param isAllowed whether frames may take a tunnel to a host by the present configuration
   */
  async inherit(isAllowed: (entry: TunnelEntry) => boolean = () => true): Promise<void> {
    const inherited = new Map<MacText, TunnelEntry>();
    for (const [mac, { via, ...rest }] of (await this.#table?.entries()) ?? [])
      if (via === "vxlan" && isAllowed({ ...rest, via })) inherited.set(mac, { ...rest, via });
    this.#inherited = inherited;
  }

  /** Whether an earlier process has sent frames to a host by the kernel's path. */
  hasInherited(tunnel: TunnelName, host: string): boolean {
    for (const entry of this.#inherited.values()) if (entry.tunnel === tunnel && entry.host === host) return true;
    return false;
  }

  /** Whether there are entries of an earlier process. */
  get hasEarlier(): boolean {
    return this.#inherited.size > 0;
  }

  /** Drops entries of an earlier process. @param isDropped of an entry, and the peer that has announced its MAC */
  dropInherited(isDropped: (entry: TunnelEntry, at: PeerName | undefined) => boolean): void {
    for (const [mac, entry] of this.#inherited)
      if (isDropped(entry, this.#at.get(mac))) {
        this.#inherited.delete(mac);
        this.#change(mac);
      }
  }

  /** Ends the time of {@link inherit}: what no peer has announced since is stale, and {@link reconcile} removes it. */
  disinherit(): void {
    this.#inherited = new Map();
  }

  /** Sets the host of a MAC; undefined: no other host has it. */
  place(mac: MacText, peer: PeerName | undefined): void {
    const was = this.#at.get(mac);
    if (was === peer) return;
    if (was !== undefined) {
      const macs = this.#of.get(was)!;
      macs.delete(mac);
      if (macs.size === 0) this.#of.delete(was);
    }
    if (peer === undefined) this.#at.delete(mac);
    else {
      this.#at.set(mac, peer);
      const macs = this.#of.get(peer);
      if (macs === undefined) this.#of.set(peer, new Set([mac]));
      else macs.add(mac);
    }
    this.#change(mac);
  }

  /** Writes the entry of a MAC again, as the bridge has learned something else. */
  restore(mac: MacText): void {
    if (this.#at.has(mac)) this.#change(mac);
  }

  /** Sets the kernel's path to a peer; undefined: it ends, and its MACs are sent to the TAP. Resolves when the kernel has it. */
  async setPath(peer: PeerName, path: PeerPath | undefined): Promise<void> {
    if (path === undefined) this.#paths.delete(peer);
    else this.#paths.set(peer, path);
    for (const mac of this.#of.get(peer) ?? []) this.#change(mac);
    await this.applied();
  }

  /** Resolves when the kernel has all changes. Never rejects. */
  async applied(): Promise<void> {
    while (this.#applying !== undefined) await this.#applying;
  }

  /** Compares the kernel's tables with the wanted entries, and repairs the differences. @returns the number of repaired ones */
  async reconcile(): Promise<number> {
    await this.applied();
    const table = this.#table;
    if (table === undefined) return 0;
    const wanted = new Map(this.#inherited);
    for (const mac of this.#at.keys()) wanted.set(mac, this.#entry(mac)!);
    const { added, removed, failures } = await table.reconcile(wanted);
    this.#failed.clear();
    this.#note(failures);
    return added + removed;
  }

  #change(mac: MacText): void {
    this.#changed.add(mac);
    this.#applying ??= this.#apply().finally(() => {
      this.#applying = undefined;
    });
  }

  async #apply(): Promise<void> {
    // What one event changes is one batch.
    await undefined;
    while (this.#changed.size > 0) {
      const macs: MacText[] = [];
      for (const mac of this.#changed) if (macs.push(mac) === BATCH) break;
      for (const mac of macs) {
        this.#changed.delete(mac);
        this.#failed.delete(mac);
      }
      if (this.#table === undefined) continue;
      const entries = macs.map((mac) => this.#entry(mac)).filter((entry) => entry !== undefined);
      const gone = macs.filter((mac) => !this.#at.has(mac));
      try {
        if (gone.length > 0) this.#note(await this.#table.remove(gone));
        if (entries.length > 0) this.#note(await this.#table.set(entries));
      } catch (error) {
        this.#note(macs.map((mac) => ({ mac, reason: errorText(error) })));
      }
    }
  }

  #note(failures: readonly RefusedEntry[]): void {
    for (const { mac, reason } of failures) this.#failed.set(mac, reason);
    const [first] = failures;
    if (first !== undefined)
      this.#log.warn("the kernel has refused forwarding entries", { count: failures.length, ...first });
  }

  #entry(mac: MacText): TunnelEntry | undefined {
    const peer = this.#at.get(mac);
    if (peer === undefined) return undefined;
    const path = this.#paths.get(peer);
    if (path === undefined) return this.#inherited.get(mac) ?? { mac, via: "tap" };
    const { tunnel, host, port, carries } = path;
    return { mac, via: carries ? "vxlan" : "tap", tunnel, host, ...(port === undefined ? {} : { port }) };
  }
}
