import { WeaveError } from "#src/errors.js";
import { portSysctls, readSysctl, writeSysctl } from "#src/linux/links/bridge.js";
import { Errno } from "#src/linux/native/libc.js";
import { withNamespace } from "#src/linux/native/namespace-entry.js";
import type { KernelLink, PortSettings } from "#src/linux/netlink/kernel-link.js";
import {
  changeLink,
  changePort,
  findKernelLink,
  listKernelLinks,
  makeLink,
  namespaceNumber,
  removeLink,
  vxlanData,
} from "#src/linux/netlink/link-requests.js";
import { Netlink, NetlinkError } from "#src/linux/netlink/netlink.js";

/** The alias that marks a device as made by weave. */
export const DEVICE_ALIAS = "made by weave for the kernel path";

/**
 * Nothing is flooded to the port and nothing is learned at it: it carries frames to known MACs alone, by the entries of
 * forwarding-table.ts. It forwards to no other isolated port: what arrives there can reach containers and the host, but not the router's
 * TAP, and the other way round. So no frame travels twice, or in a circle.
 */
const VXLAN_PORT: PortSettings = {
  learning: false,
  flood: false,
  multicastFlood: false,
  broadcastFlood: false,
  isolated: true,
};
/** Unknown destinations, broadcast and multicast go to the router. */
const RELAY_PORT = { learning: false, isolated: true } as const;

/** Largest MTU of a VXLAN device over IPv4 in bytes: 64 KB less its headers (drivers/net/vxlan). */
const MAX_MTU = 65_535 - 50;

/** A namespace of its own for the socket of a device. */
export interface SocketNamespace {
  /** Descriptor of the namespace. */
  readonly fd: number;
}

export interface VxlanOptions {
  /** Name of the device: at most 15 characters. */
  readonly name: string;
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  /** The network's identifier: 24 bits. */
  readonly vni: number;
  /** UDP port of the device, and of the others. */
  readonly port: number;
  /** IPv4 source address; by default the kernel chooses. */
  readonly local?: string;
  /** The namespace of the device's socket: nothing outside of it can send to the device. By default the host's. */
  readonly tunnel?: SocketNamespace;
}

/** A difference between a device and its desired state. */
export interface DeviceFault {
  /** Identifies the kind of fault: "device" when it must be made again, which loses its forwarding entries. */
  readonly key: "device" | "settings" | "port";
  /** Text for log and status. */
  readonly what: string;
}

/** A VXLAN device as a port of weave's bridge. It outlives the router. */
export class VxlanPort {
  readonly #netlink: Netlink;
  readonly #options: VxlanOptions;
  #ifindex = 0;

  private constructor(netlink: Netlink, options: VxlanOptions) {
    this.#netlink = netlink;
    this.#options = options;
  }

  /**
   * Makes the device and sets its bridge port, or finds and corrects those of an earlier process.
   *
   * @param netlink of the host's namespace, protocol "route"
   * @throws WEAVE_BRIDGE_FOREIGN when another interface has the name, WEAVE_PORT_IN_USE when another VXLAN device has the network
   *   identifier and port, or another program the port; WEAVE_NATIVE
   */
  static async ensure(netlink: Netlink, options: VxlanOptions): Promise<VxlanPort> {
    const port = new VxlanPort(netlink, options);
    await port.repair();
    return port;
  }

  /** Index of the device; another one after a repair that has made it again. */
  get ifindex(): number {
    return this.#ifindex;
  }

  /** Compares device and port with their desired state. @throws WEAVE_BRIDGE_FOREIGN, WEAVE_NATIVE */
  async inspect(): Promise<readonly DeviceFault[]> {
    const link = await findKernelLink(this.#netlink, this.#options.name);
    if (link === undefined) return [{ key: "device", what: `the VXLAN device ${this.#options.name} is gone` }];
    checkOwn(link, "vxlan");
    this.#ifindex = link.ifindex;
    const made = await this.#madeWrong(link);
    if (made.length > 0) return [this.#fault("device", made)];
    const bridge = await this.#bridge();
    const set = [
      ...(link.up ? [] : ["is down"]),
      ...(link.mtu === this.#mtu ? [] : [`has an MTU of ${link.mtu} instead of ${this.#mtu}`]),
      ...(link.alias === DEVICE_ALIAS ? [] : ["is unfinished"]),
      ...(link.master === bridge ? [] : [`is not on the bridge ${this.#options.bridge}`]),
      ...portSysctls(link.name)
        .filter(({ path, value }) => ![undefined, value].includes(readSysctl(path)))
        .map(() => "has IPv6 addresses"),
    ];
    const port = link.master === bridge ? portWrong(link.portSettings, VXLAN_PORT) : [];
    return [
      ...(set.length > 0 ? [this.#fault("settings", set)] : []),
      ...(port.length > 0 ? [this.#fault("port", port)] : []),
    ];
  }

  /** Corrects what {@link inspect} finds. @returns the faults that there were. @throws as {@link ensure} does */
  async repair(): Promise<readonly DeviceFault[]> {
    const faults = await this.inspect();
    if (faults.length === 0) return faults;
    if (faults.some(({ key }) => key === "device")) await this.#make();
    await this.#set();
    return faults;
  }

  /** Removes the device, with its forwarding entries. @throws WEAVE_NATIVE */
  async remove(): Promise<void> {
    await removeDevice(this.#netlink, this.#options.name);
  }

  get #mtu(): number {
    return Math.min(this.#options.mtu, MAX_MTU);
  }

  #fault(key: DeviceFault["key"], wrong: readonly string[]): DeviceFault {
    return { key, what: `the VXLAN device ${this.#options.name} ${wrong.join(" and ")}` };
  }

  /** What cannot be changed in a device that exists. */
  async #madeWrong({ vxlan, linkNamespace }: KernelLink): Promise<string[]> {
    const { vni, port, local, tunnel } = this.#options;
    if (vxlan === undefined) return ["is no VXLAN device"];
    const namespace = tunnel && (await namespaceNumber(this.#netlink, tunnel.fd));
    const socketHere =
      tunnel === undefined ? linkNamespace === undefined : linkNamespace === namespace && namespace !== undefined;
    return [
      ...(vxlan.vni === vni ? [] : [`has the network ${vxlan.vni} instead of ${vni}`]),
      ...(vxlan.port === port ? [] : [`has the port ${vxlan.port} instead of ${port}`]),
      ...(vxlan.local === local ? [] : [`has the address ${vxlan.local ?? "none"} instead of ${local ?? "none"}`]),
      ...(vxlan.learning ? ["learns"] : []),
      ...(vxlan.neverFragments === false ? ["fragments packets"] : []),
      ...(socketHere ? [] : ["has its socket in another namespace"]),
    ];
  }

  async #make(): Promise<void> {
    const { name, tunnel } = this.#options;
    await this.remove();
    if (tunnel === undefined) return this.#makeWith(this.#netlink);
    const inside = Netlink.open("route", tunnel.fd);
    try {
      // One that an earlier attempt did not move carries no frames.
      await removeDevice(inside, name);
      await this.#makeWith(inside);
      const link = await findKernelLink(inside, name);
      await withNamespace(this.#netlink.namespace, (namespace) =>
        changeLink(inside, `move the device ${name}`, link?.ifindex ?? 0, { namespace }),
      );
    } finally {
      inside.close();
    }
  }

  async #makeWith(netlink: Netlink): Promise<void> {
    const { name, vni, port, local } = this.#options;
    const make = (neverFragments: boolean) =>
      makeLink(
        netlink,
        name,
        "vxlan",
        { alias: DEVICE_ALIAS, mtu: this.#mtu },
        vxlanData({ vni, port, local, neverFragments }),
      );
    try {
      await make(true);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      if (error.errno === Errno.EEXIST) throw await this.#inUse(netlink, error);
      if (error.errno !== Errno.EINVAL) throw error;
      await make(false);
    }
  }

  /** The device exists: marks it, and makes it a port. */
  async #set(): Promise<void> {
    const { name } = this.#options;
    const link = await findKernelLink(this.#netlink, name);
    if (link === undefined) throw new WeaveError("WEAVE_NATIVE", `the VXLAN device ${name} is gone again`);
    this.#ifindex = link.ifindex;
    for (const { path, value } of portSysctls(name)) writeSysctl(path, value);
    const master = await this.#bridge();
    const change = { alias: DEVICE_ALIAS, mtu: this.#mtu, ...(link.master === master ? {} : { master }) };
    await changeLink(this.#netlink, `set the device ${name}`, link.ifindex, change);
    // Before it is up: no frame is flooded to it in between.
    await changePort(this.#netlink, name, link.ifindex, VXLAN_PORT);
    try {
      await changeLink(this.#netlink, `enable the device ${name}`, link.ifindex, { up: true });
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === Errno.EADDRINUSE)
        throw await this.#inUse(this.#netlink, error);
      throw error;
    }
  }

  async #bridge(): Promise<number> {
    const bridge = await findKernelLink(this.#netlink, this.#options.bridge);
    if (bridge === undefined) throw new WeaveError("WEAVE_NATIVE", `there is no bridge ${this.#options.bridge}`);
    return bridge.ifindex;
  }

  /** Names the device that has our network identifier and port, or the port. */
  async #inUse(netlink: Netlink, cause: NetlinkError): Promise<WeaveError> {
    const { name, vni, port } = this.#options;
    const others = (await listKernelLinks(netlink)).filter((link) => link.name !== name && link.vxlan?.port === port);
    const same = others.find((link) => link.vxlan?.vni === vni);
    const other = same ?? others[0];
    const who =
      other === undefined
        ? "another program has it"
        : `the VXLAN device ${other.name} has it${same ? `, with the network ${vni} too` : ""}`;
    return new WeaveError("WEAVE_PORT_IN_USE", `the kernel path cannot use UDP port ${port}: ${who}`, {
      cause,
      next: `Remove it ('ip -d link show type vxlan', 'ss -lun sport = :${port}'), or choose another port on all hosts with --port.`,
    });
  }
}

/**
 * Sets the port of the router's own TAP device: no learning, because the MACs of other hosts come from their owners, and isolated. A TAP of a
 * new router learns until this is called.
 *
 * @param tap name of the device, which is on the bridge. @throws WEAVE_NATIVE
 */
export async function setRelayPort(netlink: Netlink, tap: string): Promise<void> {
  const link = await findKernelLink(netlink, tap);
  if (link === undefined) throw new WeaveError("WEAVE_NATIVE", `there is no interface ${tap}`);
  await changePort(netlink, tap, link.ifindex, RELAY_PORT);
}

/** Compares the TAP's port with the settings of {@link setRelayPort}. @throws WEAVE_NATIVE */
export async function inspectRelayPort(netlink: Netlink, tap: string): Promise<readonly DeviceFault[]> {
  const link = await findKernelLink(netlink, tap);
  if (link === undefined) return [{ key: "device", what: `the TAP device ${tap} is gone` }];
  const wrong = portWrong(link.portSettings, RELAY_PORT);
  return wrong.length === 0 ? [] : [{ key: "port", what: `the TAP device ${tap} ${wrong.join(" and ")}` }];
}

/** Removes a device that weave made for the kernel path; a foreign one of that name stays. @throws WEAVE_NATIVE */
export async function removeDevice(netlink: Netlink, name: string): Promise<void> {
  const link = await findKernelLink(netlink, name);
  if (link !== undefined && isOwn(link)) await removeLink(netlink, link.ifindex);
}

/** Whether weave made a device: it has the mark, or its maker ended before that. */
const isOwn = ({ kind, alias, up, master }: KernelLink): boolean =>
  alias === DEVICE_ALIAS || (alias === undefined && !up && master === undefined && OWN_KINDS.includes(kind ?? ""));
const OWN_KINDS = ["vxlan", "wireguard"];

/** Checks that weave made an interface. @throws WEAVE_BRIDGE_FOREIGN if not */
export function checkOwn(link: KernelLink, kind: string): void {
  if (link.kind === kind && isOwn(link)) return;
  throw new WeaveError("WEAVE_BRIDGE_FOREIGN", `there is an interface ${link.name} that weave did not make`, {
    next: `Remove it if it is not needed ('ip link delete dev ${link.name}'). Until then frames travel by the router.`,
  });
}

const WORDS: Readonly<Record<keyof PortSettings, readonly [on: string, off: string]>> = {
  learning: ["learns MACs of other hosts", "does not learn"],
  flood: ["gets frames of unknown destination", "gets no frames of unknown destination"],
  multicastFlood: ["gets multicast", "gets no multicast"],
  broadcastFlood: ["gets broadcast", "gets no broadcast"],
  isolated: ["is isolated", "is not isolated"],
};

function portWrong(settings: PortSettings | undefined, desired: Partial<PortSettings>): string[] {
  if (settings === undefined) return ["is on no bridge"];
  return (Object.keys(desired) as (keyof PortSettings)[])
    .filter((name) => settings[name] !== undefined && settings[name] !== desired[name])
    .map((name) => WORDS[name][settings[name] ? 0 : 1]);
}
