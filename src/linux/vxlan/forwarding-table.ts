import { isIpv4 } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import { Errno } from "#src/linux/native/libc.js";
import {
  type ForwardingRecord,
  forwardingQuery,
  NTF_EXT_LEARNED,
  NTF_MASTER,
  NTF_SELF,
  NUD_REACHABLE,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  readForwarding,
  writeForwarding,
} from "#src/linux/netlink/neighbour.js";
import { CREATE, type Netlink, type NetlinkRequest, REPLACE } from "#src/linux/netlink/netlink.js";
import { isGroupMac, type MacText, macNumber } from "#src/mac.js";

/** MACs of one call: what the kernel does for 10,000 takes 0.3 s. */
export const MAX_ENTRIES = 10_000;

/** MACs that are removed without a look at what there is. */
const BLIND_REMOVALS = 256;
/** Errors of a removal: no entry, no device, a device that is no port of a bridge. */
const ABSENT: readonly number[] = [Errno.ENOENT, Errno.ENODEV, Errno.EINVAL];

/** Where frames to a MAC of another host go. */
export interface ForwardingEntry {
  readonly mac: MacText;
  /** The bridge's port for the MAC: the VXLAN device, or the router's TAP. */
  readonly via: "vxlan" | "tap";
  /** IPv4 address that the VXLAN device sends to; undefined: the device has no entry. */
  readonly host?: string;
  /** UDP port there; undefined: the port of the device. */
  readonly port?: number;
}

/** An entry as the kernel has it. `via` is undefined where the bridge's half is missing: frames to the MAC are then flooded to the TAP. */
export type PresentEntry = Omit<ForwardingEntry, "via"> & { readonly via: ForwardingEntry["via"] | undefined };

/** A MAC for which the kernel rejected an entry. */
export interface EntryFailure {
  readonly mac: MacText;
  readonly errno: number;
  readonly reason: string;
}

/** Indexes of the interfaces of a table. */
export interface TablePorts {
  readonly bridge: number;
  readonly vxlan: number;
  readonly tap: number;
}

/**
 * The MACs of other hosts in the kernel: an entry of the bridge, which names the port, and one of the VXLAN device, which names the host.
 * Entries do not expire, and outlive the router. Where a container of this host sends with such a MAC, the kernel moves the bridge's entry
 * to the container's port: see learned-macs.ts.
 */
export class ForwardingTable {
  readonly #netlink: Netlink;
  readonly #ports: () => TablePorts;

  /**
   * @param netlink of the host's namespace, protocol "route"
   * @param ports read at each call: a repair may make interfaces again
   */
  constructor(netlink: Netlink, ports: () => TablePorts) {
    this.#netlink = netlink;
    this.#ports = ports;
  }

  /**
   * Adds entries, or moves and changes existing ones.
   *
   * @returns the MACs that the kernel rejected; both entries of such a MAC may be missing
   * @throws WEAVE_BOUNDS for more than {@link MAX_ENTRIES}, or a MAC or host that no entry may have: then nothing is changed
   */
  async set(entries: readonly ForwardingEntry[]): Promise<readonly EntryFailure[]> {
    checkCount(entries.length);
    for (const entry of entries) checkEntry(entry);
    const ports = this.#ports();
    const requests = entries.map((entry) => setRequests(entry, ports));
    return this.#send(entries, requests, () => true);
  }

  /** Removes the entries of MACs, at whichever port of the overlay; absent ones are no failure. @throws WEAVE_BOUNDS, WEAVE_NATIVE */
  async remove(macs: readonly MacText[]): Promise<readonly EntryFailure[]> {
    checkCount(macs.length);
    // To attempt what does not exist costs the kernel more than a list of many.
    return this.#remove(macs, macs.length > BLIND_REMOVALS ? await this.entries() : undefined);
  }

  /**
   * Reads the entries that {@link set} made, also those of earlier processes. One whose `via` and host are undefined has only what is left in
   * VLANs: a kernel with VLAN filtering makes an entry more for each VLAN of the port, and when a container takes the MAC, the frames of
   * no VLAN move alone.
   *
   * @throws WEAVE_NATIVE
   */
  async entries(): Promise<ReadonlyMap<MacText, PresentEntry>> {
    const ports = this.#ports();
    const bodies = await this.#netlink.dump("list the forwarding entries", {
      type: RTM_GETNEIGH,
      body: forwardingQuery(),
    });
    const found = new Map<MacText, PresentEntry>();
    for (const body of bodies) {
      const record = readForwarding(body);
      if (record === undefined || (record.flags & NTF_EXT_LEARNED) === 0) continue;
      const { mac, vlan } = record;
      const half = ownHalf(record, ports);
      if (half === undefined) continue;
      const present = { mac, via: undefined, ...found.get(mac) };
      // Weave's bridge filters no VLANs.
      found.set(mac, vlan === 0 ? { ...present, ...half } : present);
    }
    return found;
  }

  /**
   * Makes the kernel have exactly the entries of `wanted`: removes stale ones of an earlier process, adds those that other programs deleted,
   * corrects changed ones. Sends nothing where all is right.
   *
   * @throws WEAVE_BOUNDS, WEAVE_NATIVE
   */
  async reconcile(
    wanted: ReadonlyMap<MacText, ForwardingEntry>,
  ): Promise<{ readonly added: number; readonly removed: number; readonly failures: readonly EntryFailure[] }> {
    const present = await this.entries();
    const stale = [...present.keys()].filter((mac) => !wanted.has(mac));
    const missing = [...wanted.values()].filter((entry) => !isSame(entry, present.get(entry.mac)));
    // An entry of the device without its desired host is removed with the rest.
    const halves = missing.filter(({ mac, host }) => host === undefined && present.get(mac)?.host !== undefined);
    const failures: EntryFailure[] = [];
    const removed = [...stale, ...halves.map(({ mac }) => mac)];
    for (let at = 0; at < removed.length; at += MAX_ENTRIES)
      failures.push(...(await this.#remove(removed.slice(at, at + MAX_ENTRIES), present)));
    for (let at = 0; at < missing.length; at += MAX_ENTRIES)
      failures.push(...(await this.set(missing.slice(at, at + MAX_ENTRIES))));
    return { added: missing.length, removed: stale.length, failures };
  }

  /** @param present the entries that exist; undefined: all are attempted */
  async #remove(
    macs: readonly MacText[],
    present?: ReadonlyMap<MacText, PresentEntry>,
  ): Promise<readonly EntryFailure[]> {
    const { vxlan, tap } = this.#ports();
    const requests = macs.map((mac) => {
      const entry = present?.get(mac);
      // What is left in VLANs may be at either port.
      const isAt = (via: ForwardingEntry["via"]) => present === undefined || (entry?.via ?? via) === via;
      return [
        ...(isAt("vxlan") ? [{ ifindex: vxlan, flags: NTF_MASTER }] : []),
        ...(isAt("tap") ? [{ ifindex: tap, flags: NTF_MASTER }] : []),
        ...(present === undefined || entry?.host !== undefined ? [{ ifindex: vxlan, flags: NTF_SELF }] : []),
      ].map((where) => ({ type: RTM_DELNEIGH, body: writeForwarding({ mac, state: 0, ...where }) }));
    });
    const owners = macs.map((mac) => ({ mac }));
    return this.#send(owners, requests, (errno) => !ABSENT.includes(errno));
  }

  /** @param owners the MAC of each group of requests. @param counts whether an error is a failure */
  async #send(
    owners: readonly { readonly mac: MacText }[],
    groups: readonly (readonly NetlinkRequest[])[],
    counts: (errno: number) => boolean,
  ): Promise<readonly EntryFailure[]> {
    const owner = groups.flatMap((group, index) => group.map(() => index));
    const failures = new Map<MacText, EntryFailure>();
    for (const { index, errno, text } of await this.#netlink.batch("set forwarding entries", groups.flat())) {
      const { mac } = owners[owner[index]];
      if (counts(errno)) failures.set(mac, { mac, errno, reason: text });
    }
    return [...failures.values()];
  }
}

function setRequests(entry: ForwardingEntry, { vxlan, tap }: TablePorts): NetlinkRequest[] {
  const { mac, via, host, port } = entry;
  const add = (
    ifindex: number,
    flags: number,
    target: Pick<ForwardingEntry, "host" | "port"> = {},
  ): NetlinkRequest => ({
    type: RTM_NEWNEIGH,
    flags: CREATE | REPLACE,
    body: writeForwarding({ mac, ifindex, state: NUD_REACHABLE, flags: flags | NTF_EXT_LEARNED, ...target }),
  });
  const target = { ...(host === undefined ? {} : { host }), ...(port === undefined ? {} : { port }) };
  if (via === "vxlan") return [add(vxlan, NTF_SELF | NTF_MASTER, target)];
  return [...(host === undefined ? [] : [add(vxlan, NTF_SELF, target)]), add(tap, NTF_MASTER)];
}

/** The part of an entry that a record of the kernel is; undefined for one that is not ours. */
function ownHalf(record: ForwardingRecord, { bridge, vxlan, tap }: TablePorts): Partial<ForwardingEntry> | undefined {
  const { ifindex, flags, master, host, port } = record;
  if ((flags & NTF_SELF) !== 0)
    return ifindex !== vxlan || host === undefined ? undefined : { host, ...(port === undefined ? {} : { port }) };
  if (master !== bridge) return undefined;
  if (ifindex === vxlan) return { via: "vxlan" };
  return ifindex === tap ? { via: "tap" } : undefined;
}

const isSame = (a: ForwardingEntry, b: PresentEntry | undefined): boolean =>
  b !== undefined && a.via === b.via && a.host === b.host && a.port === b.port;

function checkCount(count: number): void {
  if (count > MAX_ENTRIES)
    throw new WeaveError("WEAVE_BOUNDS", `${count} forwarding entries are more than ${MAX_ENTRIES} of one call`);
}

function checkEntry({ mac, via, host, port }: ForwardingEntry): void {
  const number = macNumber(mac);
  const reject = (why: string) => new WeaveError("WEAVE_BOUNDS", `no forwarding entry for the MAC ${mac}: ${why}`);
  if (number === 0) throw reject("it is zero");
  if (isGroupMac(number)) throw reject("it is a multicast address");
  if (via === "vxlan" && host === undefined) throw reject("the VXLAN device needs a host");
  if (host !== undefined && !isIpv4(host)) throw reject(`the host ${host} is no IPv4 address`);
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) throw reject("its port is none");
}
