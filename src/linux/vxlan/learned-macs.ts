import { systemClock } from "#src/clock.js";
import { Emitter } from "#src/emitter.js";
import { WeaveError } from "#src/errors.js";
import { inNamespace } from "#src/linux/native/namespace-entry.js";
import { NetlinkSocket } from "#src/linux/native/netlink-socket.js";
import { type ClassicFilter, IF_BITS, IF_EQUAL, KEEP, LOAD_BYTE, LOAD_HALF } from "#src/linux/native/packet-filter.js";
import { readLink } from "#src/linux/netlink/kernel-link.js";
import { findKernelLink, listKernelLinks } from "#src/linux/netlink/link-requests.js";
import { type NetlinkMessage, readMessages } from "#src/linux/netlink/message-reader.js";
import {
  AF_BRIDGE,
  type ForwardingRecord,
  forwardingQuery,
  NTF_EXT_LEARNED,
  NTF_SELF,
  NUD_PERMANENT,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  readForwarding,
} from "#src/linux/netlink/neighbour.js";
import type { Netlink } from "#src/linux/netlink/netlink.js";
import { type Comparison, Comparisons } from "#src/linux/vxlan/comparisons.js";
import type { MacText } from "#src/mac.js";

/** A MAC that the bridge has learned at the port of a container. */
export interface LearnedMac {
  readonly mac: MacText;
  /** Index of the port. */
  readonly ifindex: number;
  /** 0: none. */
  readonly vlan: number;
}

export interface LearnedMacEvents {
  /** A new MAC, or one that has moved to another port of this bridge, or that came back from another host. */
  learned: [mac: LearnedMac];
  /** A MAC whose port is gone. The kernel's expiry of an idle MAC is no such event. */
  removed: [mac: LearnedMac];
}

/** The MACs of a port. */
interface PortMacs {
  readonly all: Map<MacText, LearnedMac>;
  /** Those that the kernel has dropped. */
  readonly expired: Set<MacText>;
}

/** MACs of one port, and of all: a container that invents source addresses fills no table, and announces nothing endless. */
const MAX_OF_PORT = 256;
const MAX_MACS = 8_192;
/**
 * Delay before the port of a removed entry is looked up: the kernel removes entries of a port before it removes the port. A container that
 * ends is withdrawn after this time.
 */
const LOOK_MS = 50;
/** Messages that are handled before other events of the process. */
const READS_AT_ONCE = 64;

// linux/rtnetlink.h
const RTNLGRP_LINK = 1;
const RTNLGRP_NEIGH = 3;
const RTM_DELLINK = 17;

/**
 * Offsets in a message: its type, the family and the flags of struct ndmsg. Numbers of the kernel are little-endian, and the filter reads
 * them as big-endian.
 */
const TYPE_AT = 4;
const FAMILY_AT = 16;
const FLAGS_AT = 26;
const swapped = (type: number): number => type << 8;
const WHOLE = 0xffff_ffff;

/**
 * Passes removals of links, and changes of forwarding entries that no program has set: ARP entries of a busy host, and the entries of
 * forwarding-table.ts itself, would wake the event loop for nothing.
 */
const FILTER: ClassicFilter = [
  [LOAD_HALF, 0, 0, TYPE_AT],
  [IF_EQUAL, 6, 0, swapped(RTM_DELLINK)],
  [IF_EQUAL, 1, 0, swapped(RTM_NEWNEIGH)],
  [IF_EQUAL, 0, 5, swapped(RTM_DELNEIGH)],
  [LOAD_BYTE, 0, 0, FAMILY_AT],
  [IF_EQUAL, 0, 3, AF_BRIDGE],
  [LOAD_BYTE, 0, 0, FLAGS_AT],
  [IF_BITS, 1, 0, NTF_EXT_LEARNED | NTF_SELF],
  [KEEP, 0, 0, WHOLE],
  [KEEP, 0, 0, 0],
];

/**
 * The MACs of this host's containers, as the bridge learns them from frames: the kernel's events (rtnetlink(7)), with a list of what was
 * there before. An idle MAC expires in the bridge after 300 s; here it stays for as long as its port exists, because other hosts could not
 * find the container without it.
 */
export class LearnedMacs {
  readonly events = new Emitter<LearnedMacEvents>();
  readonly #socket: NetlinkSocket;
  readonly #netlink: Netlink;
  readonly #bridge: string;
  readonly #overlayPorts: () => ReadonlySet<number>;
  #bridgeIndex = 0;
  readonly #known = new Map<MacText, LearnedMac>();
  readonly #portMacs = new Map<number, PortMacs>();
  readonly #comparisons = new Comparisons(systemClock, () => this.#compare());
  #refused = 0;
  /** A look for ports that are gone: it waits, it runs, or it runs and another one is needed. */
  #look: NodeJS.Timeout | "runs" | "again" | undefined;
  #closed = false;

  private constructor(netlink: Netlink, bridge: string, overlayPorts: () => ReadonlySet<number>) {
    this.#netlink = netlink;
    this.#bridge = bridge;
    this.#overlayPorts = overlayPorts;
    const options = { groups: [RTNLGRP_LINK, RTNLGRP_NEIGH], filter: FILTER };
    this.#socket = inNamespace(netlink.namespace, () => new NetlinkSocket("route", options));
  }

  /**
   * Begins to follow a bridge.
   *
   * @param netlink of the host's namespace, protocol "route"
   * @param overlayPorts indexes of the router's own ports (TAP, VXLAN devices), whose MACs are of other hosts; read at each event
   * @throws WEAVE_NATIVE
   */
  static async open(netlink: Netlink, bridge: string, overlayPorts: () => ReadonlySet<number>): Promise<LearnedMacs> {
    const macs = new LearnedMacs(netlink, bridge, overlayPorts);
    try {
      // The group is joined already: nothing is missed between list and events.
      if ((await macs.#compare()) === "absent") throw new WeaveError("WEAVE_NATIVE", `there is no bridge ${bridge}`);
      macs.#socket.onInput(() => macs.#read());
    } catch (error) {
      macs.close();
      throw error;
    }
    return macs;
  }

  /** All MACs now. */
  entries(): LearnedMac[] {
    return [...this.#known.values()];
  }

  /** MACs that were not taken, because a port or the host had too many. */
  get refused(): number {
    return this.#refused;
  }

  /** Forgets a MAC that is now another host's: when a container here sends with it again, it is learned again. */
  forget(mac: MacText): void {
    const known = this.#known.get(mac);
    if (known !== undefined) this.#drop(known);
  }

  close(): void {
    this.#closed = true;
    if (typeof this.#look === "object") clearTimeout(this.#look);
    this.#comparisons.close();
    this.#socket.close();
  }

  #read(): void {
    for (let reads = 0; reads < READS_AT_ONCE; reads++) {
      if (this.#closed) return;
      const input = this.#socket.receiveNow();
      if (input === "empty") return;
      if (input === "overrun") this.#comparisons.request();
      else for (const message of readMessages(input)) this.#onMessage(message);
    }
    setImmediate(() => this.#read());
  }

  #onMessage({ type, body }: NetlinkMessage): void {
    if (type === RTM_DELLINK) {
      const link = readLink(body);
      if (link !== undefined) this.#onPortGone(link.ifindex);
      return;
    }
    const record = readForwarding(body);
    if (record === undefined || !this.#isLearned(record)) return;
    if (type === RTM_NEWNEIGH) this.#onLearned(record);
    else if (type === RTM_DELNEIGH) this.#onExpired(record);
  }

  /** Whether an entry is one that the bridge has learned from the frame of a container. */
  #isLearned({ ifindex, flags, state, master }: ForwardingRecord): boolean {
    return (
      master === this.#bridgeIndex &&
      (flags & (NTF_EXT_LEARNED | NTF_SELF)) === 0 &&
      // The MAC of a port or of the bridge itself.
      (state & NUD_PERMANENT) === 0 &&
      !this.#overlayPorts().has(ifindex)
    );
  }

  #onLearned({ mac, ifindex, vlan }: ForwardingRecord): void {
    const known = this.#known.get(mac);
    if (known?.ifindex === ifindex) {
      this.#portMacs.get(ifindex)!.expired.delete(mac);
      return;
    }
    if (known !== undefined) this.#drop(known);
    if (!this.#makeRoom(ifindex)) {
      this.#refused++;
      return;
    }
    const learned = { mac, ifindex, vlan };
    this.#known.set(mac, learned);
    const port = this.#portMacs.get(ifindex) ?? { all: new Map(), expired: new Set() };
    this.#portMacs.set(ifindex, port);
    port.all.set(mac, learned);
    this.events.emit("learned", learned);
  }

  /** Whether a port may have one more MAC: an expired one of the port gives its place. */
  #makeRoom(ifindex: number): boolean {
    const port = this.#portMacs.get(ifindex);
    if ((port?.all.size ?? 0) < MAX_OF_PORT && this.#known.size < MAX_MACS) return true;
    const [expired] = port?.expired ?? [];
    if (expired === undefined) return false;
    this.#remove(this.#known.get(expired)!);
    return true;
  }

  #onExpired({ mac, ifindex }: ForwardingRecord): void {
    if (this.#known.get(mac)?.ifindex !== ifindex) return;
    this.#portMacs.get(ifindex)!.expired.add(mac);
    if (this.#look === undefined) this.#lookSoon();
    else if (this.#look === "runs") this.#look = "again";
  }

  #lookSoon(): void {
    this.#look = setTimeout(() => void this.#removeOrphans(), LOOK_MS);
  }

  #onPortGone(ifindex: number): void {
    if (ifindex === this.#bridgeIndex) this.#comparisons.request();
    this.#removePort(ifindex);
  }

  #removePort(ifindex: number): void {
    for (const known of [...(this.#portMacs.get(ifindex)?.all.values() ?? [])]) this.#remove(known);
  }

  /** Removes the MACs whose port is not on the bridge any more. */
  async #removeOrphans(): Promise<void> {
    this.#look = "runs";
    const ports = [...this.#portMacs].filter(([, { expired }]) => expired.size > 0).map(([ifindex]) => ifindex);
    try {
      const present = await this.#ports();
      if (this.#closed) return;
      for (const ifindex of ports) if (!present.has(ifindex)) this.#removePort(ifindex);
    } catch {
      if (this.#closed) return;
      this.#comparisons.request();
    }
    if (this.#looksAgain()) this.#lookSoon();
    else this.#look = undefined;
  }

  #looksAgain(): boolean {
    return this.#look === "again";
  }

  async #ports(): Promise<ReadonlySet<number>> {
    const links = await listKernelLinks(this.#netlink);
    return new Set(links.filter(({ master }) => master === this.#bridgeIndex).map(({ ifindex }) => ifindex));
  }

  /** Compares with a new list: what was missed is emitted. */
  async #compare(): Promise<Comparison> {
    const bridge = await findKernelLink(this.#netlink, this.#bridge);
    if (bridge === undefined) return "absent";
    this.#bridgeIndex = bridge.ifindex;
    const ports = await this.#ports();
    const bodies = await this.#netlink.dump("list the MACs of the bridge", {
      type: RTM_GETNEIGH,
      body: forwardingQuery(),
    });
    if (this.#closed) return "compared";
    const learned = bodies.flatMap((body) => readForwarding(body) ?? []).filter((record) => this.#isLearned(record));
    const seen = new Set(learned.map(({ mac }) => mac));
    for (const [ifindex, { all, expired }] of [...this.#portMacs]) {
      if (!ports.has(ifindex)) this.#removePort(ifindex);
      else for (const mac of all.keys()) if (!seen.has(mac)) expired.add(mac);
    }
    for (const record of learned) this.#onLearned(record);
    return "compared";
  }

  #remove(known: LearnedMac): void {
    this.#drop(known);
    this.events.emit("removed", known);
  }

  #drop({ mac, ifindex }: LearnedMac): void {
    this.#known.delete(mac);
    const port = this.#portMacs.get(ifindex)!;
    port.all.delete(mac);
    port.expired.delete(mac);
    if (port.all.size === 0) this.#portMacs.delete(ifindex);
  }
}
