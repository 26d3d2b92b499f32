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
  /** The kernel has dropped events. A new list has been compared: what was missed has been emitted before. */
  resynced: [];
}

/** MACs of one port, and of all: a container that invents source addresses fills no table, and announces nothing endless. */
const MAX_OF_PORT = 256;
const MAX_MACS = 8_192;
/**
 * Delay before the port of a removed entry is looked up: the kernel removes entries of a port before it removes the port. A container that
 * ends is withdrawn after this time.
 */
const LOOK_MS = 50;
/** Delay of another comparison after one that failed: the bridge is gone, and its repair makes another one. */
const RETRY_MS = 1_000;
/** Messages that are handled before other events of the process. */
const READS_AT_ONCE = 64;

// linux/rtnetlink.h
const RTNLGRP_LINK = 1;
const RTNLGRP_NEIGH = 3;
const RTM_NEWLINK = 16;
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
 * Passes changes of links, and of forwarding entries that no program has set: ARP entries of a busy host, and the entries of
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
  readonly #known = new Map<MacText, LearnedMac & { expired: boolean }>();
  readonly #countOf = new Map<number, number>();
  #refused = 0;
  #look: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();
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
      await macs.#compare();
      macs.#socket.onInput(() => macs.#read());
    } catch (error) {
      macs.close();
      throw error;
    }
    return macs;
  }

  /** All MACs now. */
  entries(): LearnedMac[] {
    return [...this.#known.values()].map(({ mac, ifindex, vlan }) => ({ mac, ifindex, vlan }));
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
    clearTimeout(this.#look);
    clearTimeout(this.#retry);
    this.#socket.close();
  }

  #read(): void {
    for (let reads = 0; reads < READS_AT_ONCE; reads++) {
      if (this.#closed) return;
      const input = this.#socket.receiveNow();
      if (input === "empty") return;
      if (input === "overrun") this.#inTurn(() => this.#resync());
      else for (const message of readMessages(input)) this.#onMessage(message);
    }
    setImmediate(() => this.#read());
  }

  #onMessage({ type, body }: NetlinkMessage): void {
    if (type === RTM_DELLINK || type === RTM_NEWLINK) {
      const link = readLink(body);
      if (type === RTM_DELLINK && link !== undefined) this.#onPortGone(link.ifindex);
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
      known.expired = false;
      return;
    }
    if (known !== undefined) this.#drop(known);
    if (!this.#makeRoom(ifindex)) {
      this.#refused++;
      return;
    }
    const learned = { mac, ifindex, vlan };
    this.#known.set(mac, { ...learned, expired: false });
    this.#countOf.set(ifindex, (this.#countOf.get(ifindex) ?? 0) + 1);
    this.events.emit("learned", learned);
  }

  /** Whether a port may have one more MAC: an expired one of the port gives its place. */
  #makeRoom(ifindex: number): boolean {
    if ((this.#countOf.get(ifindex) ?? 0) < MAX_OF_PORT && this.#known.size < MAX_MACS) return true;
    const expired = [...this.#known.values()].find((each) => each.ifindex === ifindex && each.expired);
    if (expired === undefined) return false;
    this.#remove(expired);
    return true;
  }

  #onExpired({ mac, ifindex }: ForwardingRecord): void {
    const known = this.#known.get(mac);
    if (known?.ifindex !== ifindex) return;
    known.expired = true;
    this.#look ??= setTimeout(() => {
      this.#look = undefined;
      this.#inTurn(() => this.#removeOrphans());
    }, LOOK_MS);
  }

  #onPortGone(ifindex: number): void {
    if (ifindex === this.#bridgeIndex) this.#inTurn(() => this.#resync());
    if ((this.#countOf.get(ifindex) ?? 0) === 0) return;
    for (const known of [...this.#known.values()]) if (known.ifindex === ifindex) this.#remove(known);
  }

  /** Removes the MACs whose port is not on the bridge any more. */
  async #removeOrphans(): Promise<void> {
    const expired = [...this.#known.values()].filter((known) => known.expired);
    const ports = new Set(expired.map(({ ifindex }) => ifindex));
    if (ports.size === 0) return;
    const present = await this.#ports();
    for (const known of [...this.#known.values()])
      if (ports.has(known.ifindex) && !present.has(known.ifindex)) this.#remove(known);
  }

  async #ports(): Promise<ReadonlySet<number>> {
    const links = await listKernelLinks(this.#netlink);
    return new Set(links.filter(({ master }) => master === this.#bridgeIndex).map(({ ifindex }) => ifindex));
  }

  async #resync(): Promise<void> {
    await this.#compare();
    this.events.emit("resynced");
  }

  /** Compares with a new list. */
  async #compare(): Promise<void> {
    const bridge = await findKernelLink(this.#netlink, this.#bridge);
    if (bridge === undefined) throw new WeaveError("WEAVE_NATIVE", `there is no bridge ${this.#bridge}`);
    this.#bridgeIndex = bridge.ifindex;
    const ports = await this.#ports();
    const bodies = await this.#netlink.dump("list the MACs of the bridge", {
      type: RTM_GETNEIGH,
      body: forwardingQuery(),
    });
    if (this.#closed) return;
    const learned = bodies.flatMap((body) => readForwarding(body) ?? []).filter((record) => this.#isLearned(record));
    const seen = new Set(learned.map(({ mac }) => mac));
    for (const known of [...this.#known.values()]) {
      if (!ports.has(known.ifindex)) this.#remove(known);
      else if (!seen.has(known.mac)) known.expired = true;
    }
    for (const record of learned) this.#onLearned(record);
  }

  /** Runs one comparison after another, and again after one that failed. */
  #inTurn(work: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      try {
        if (!this.#closed) await work();
      } catch {
        if (this.#closed) return;
        this.#retry ??= setTimeout(() => {
          this.#retry = undefined;
          this.#inTurn(() => this.#resync());
        }, RETRY_MS);
      }
    });
  }

  #remove(known: LearnedMac): void {
    const { mac, ifindex, vlan } = known;
    this.#drop(known);
    this.events.emit("removed", { mac, ifindex, vlan });
  }

  #drop({ mac, ifindex }: LearnedMac): void {
    this.#known.delete(mac);
    const count = (this.#countOf.get(ifindex) ?? 0) - 1;
    if (count > 0) this.#countOf.set(ifindex, count);
    else this.#countOf.delete(ifindex);
  }
}
