import { createHash } from "node:crypto";
import { WeaveError } from "#src/errors.js";
import { Errno } from "#src/linux/native/libc.js";
import type { KernelLink } from "#src/linux/netlink/kernel-link.js";
import { addHostAddress, changeLink, findKernelLink, makeLink } from "#src/linux/netlink/link-requests.js";
import { Netlink, NetlinkError } from "#src/linux/netlink/netlink.js";
import { listHostRoutes, removeHostRoute, setHostRoute } from "#src/linux/netlink/route-requests.js";
import { checkOwn, DEVICE_ALIAS, removeDevice } from "#src/linux/vxlan/vxlan-port.js";
import { TunnelHolders } from "#src/linux/wireguard/tunnel-holders.js";
import type { TunnelNamespace } from "#src/linux/wireguard/tunnel-namespace.js";
import { WireguardControl } from "#src/linux/wireguard/wireguard-control.js";
import type { WireguardPeerState } from "#src/linux/wireguard/wireguard-message.js";
import type { MacText } from "#src/mac.js";
import type { Endpoint } from "#src/net/endpoint.js";

/** Bytes that WireGuard adds to a packet over IPv4: IP and UDP headers, its own header, and the authenticator. */
export const WIREGUARD_OVERHEAD = 20 + 8 + 16 + 16;

/** Addresses of peers in the tunnels are in 128.0.0.0/2: 30 bits. */
const ADDRESS_PREFIX = 0x8000_0000;
const ADDRESS_MASK = 0x3fff_ffff;

/**
 * The IPv4 address of a peer in the tunnels, from its name. No other program sees these addresses: they may be those of other hosts
 * outside. Of a thousand peers two have the same with a probability of 1 in 2,000; {@link Tunnel.setPeer} then rejects the second one,
 * also if a hostile member has chosen its name for it.
 */
export function tunnelAddress(peer: MacText): string {
  const hash = createHash("sha256").update(`weave tunnel address ${peer}`).digest().readUInt32BE(0);
  const address = ((hash & ADDRESS_MASK) | ADDRESS_PREFIX) >>> 0;
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

export interface TunnelOptions {
  /** Name of the WireGuard device. */
  readonly device: string;
  readonly namespace: TunnelNamespace;
  /** UDP port, at all addresses of the host. */
  readonly listenPort: number;
  /** This host's key of X25519: 32 bytes each. */
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  /** This peer's name. */
  readonly self: MacText;
  /** Largest packet inside of WireGuard to any peer, in bytes: {@link WIREGUARD_OVERHEAD} less than the largest one outside. */
  readonly mtu: number;
}

export interface TunnelPeer {
  readonly peer: MacText;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes, of the session: both ends need the same at their next handshake, of which there is one in two minutes. */
  readonly presharedKey: Uint8Array;
  /** Undefined: the one that is known, or none until the other end sends. */
  readonly endpoint: Endpoint | undefined;
  /** Largest packet inside of WireGuard to the peer, in bytes; undefined: that of the device. */
  readonly mtu: number | undefined;
  /** Seconds between packets that keep a NAT open; 0: none. */
  readonly keepaliveSeconds: number;
}

/** A difference between the tunnels and their desired state. */
export interface TunnelFault {
  /** Identifies the kind of fault: "device" when WireGuard must be made again, which loses all peers. */
  readonly key: "device" | "settings" | "holder";
  readonly what: string;
}

/**
 * WireGuard between this host and others, in a namespace of its own. Its UDP socket is in the host's namespace, where the device is made
 * before it is moved. It outlives the router, with the peers and their sessions.
 */
export class Tunnel {
  readonly #netlink: Netlink;
  readonly #options: TunnelOptions;
  readonly #inside: Netlink;
  readonly #control: WireguardControl;
  #ifindex = 0;
  /** The peers that this process has set. */
  readonly #holders: TunnelHolders;

  private constructor(netlink: Netlink, options: TunnelOptions, inside: Netlink, control: WireguardControl) {
    this.#netlink = netlink;
    this.#options = options;
    this.#inside = inside;
    this.#control = control;
    this.#holders = new TunnelHolders(tunnelAddress(options.self), {
      peer: options.self,
      publicKey: options.publicKey,
    });
  }

  /**
   * Makes WireGuard's device, or finds and corrects that of an earlier process.
   *
   * @param netlink of the host's namespace, protocol "route"
   * @throws WEAVE_PORT_IN_USE, WEAVE_BRIDGE_FOREIGN when another interface has the name; WEAVE_NATIVE, also when the kernel has no WireGuard
   */
  static async ensure(netlink: Netlink, options: TunnelOptions): Promise<Tunnel> {
    const inside = Netlink.open("route", options.namespace.fd);
    let control: WireguardControl | undefined;
    try {
      control = await WireguardControl.open(options.namespace.fd);
      const tunnel = new Tunnel(netlink, options, inside, control);
      await tunnel.repair();
      return tunnel;
    } catch (error) {
      control?.close();
      inside.close();
      throw error;
    }
  }

  /** This host's address in the tunnels: the source address of the VXLAN device. */
  get address(): string {
    return tunnelAddress(this.#options.self);
  }

  /**
   * Adds or changes a peer. A changed preshared key is for the next handshake: the session goes on.
   *
   * @throws WEAVE_PEER_INVALID when another peer has its tunnel address or its key; WEAVE_NATIVE
   */
  async setPeer({ peer, publicKey, presharedKey, endpoint, mtu, keepaliveSeconds }: TunnelPeer): Promise<void> {
    const address = tunnelAddress(peer);
    const earlier = this.#holders.get(address)?.publicKey;
    const undo = this.#holders.take(address, { peer, publicKey: Uint8Array.from(publicKey), mtu });
    try {
      const replaced = this.#holders.replaced(address, publicKey, { earlier, kernel: await this.peers() });
      await this.#control.change(this.#options.device, {
        peers: [
          ...replaced.map((each) => ({ publicKey: each.publicKey, remove: true })),
          { publicKey, presharedKey, keepaliveSeconds, address, ...(endpoint === undefined ? {} : { endpoint }) },
        ],
      });
    } catch (error) {
      undo();
      throw error;
    }
    await this.#setRoute(address, mtu);
  }

  /** Removes a peer, if the key is that of this peer; an absent one is no error. @throws WEAVE_NATIVE */
  async removePeer(peer: MacText, publicKey: Uint8Array): Promise<void> {
    const holder = this.#holders.get(tunnelAddress(peer));
    if (holder?.peer !== peer || !isEqual(holder.publicKey, publicKey)) return;
    await this.#removePeers((each) => isEqual(each.publicKey, publicKey));
  }

  /** Removes the peers that this process has not set: those of an earlier one. @throws WEAVE_NATIVE */
  async removeOthers(): Promise<void> {
    await this.#removePeers(({ publicKey }) => !this.#holders.has(publicKey));
  }

  /** Reads all peers. @throws WEAVE_NATIVE */
  async peers(): Promise<readonly WireguardPeerState[]> {
    return (await this.#control.read(this.#options.device)).peers;
  }

  /** Compares WireGuard with its desired state; peers are the caller's. @throws WEAVE_BRIDGE_FOREIGN, WEAVE_NATIVE */
  async inspect(): Promise<readonly TunnelFault[]> {
    const { device, namespace, listenPort, publicKey, mtu } = this.#options;
    const holder: TunnelFault[] =
      namespace.heldBy === undefined ? [{ key: "holder", what: "nothing holds the namespace of the tunnels" }] : [];
    const link = await findKernelLink(this.#inside, device);
    if (link === undefined) return [{ key: "device", what: `the WireGuard device ${device} is gone` }, ...holder];
    checkOwn(link, "wireguard");
    this.#ifindex = link.ifindex;
    const state = await this.#control.read(device);
    const isKeyRight = state.publicKey !== undefined && isEqual(state.publicKey, publicKey);
    const wrong = [
      ...(link.up ? [] : ["is down"]),
      ...(link.alias === DEVICE_ALIAS ? [] : ["is unfinished"]),
      ...(link.mtu === mtu ? [] : [`has an MTU of ${link.mtu} instead of ${mtu}`]),
      ...(isKeyRight ? [] : ["has another key"]),
      ...(link.up && (await this.#lacksRoutes()) ? ["lacks routes to peers"] : []),
      ...(state.listenPort === listenPort ? [] : [`has the port ${state.listenPort} instead of ${listenPort}`]),
    ];
    const settings: TunnelFault[] =
      wrong.length === 0 ? [] : [{ key: "settings", what: `the WireGuard device ${device} ${wrong.join(" and ")}` }];
    return [...settings, ...holder];
  }

  /** Corrects what {@link inspect} finds. @returns the faults that there were. @throws as {@link ensure} does */
  async repair(): Promise<readonly TunnelFault[]> {
    const faults = await this.inspect();
    if (faults.some(({ key }) => key === "holder")) this.#options.namespace.hold();
    if (faults.some(({ key }) => key === "device")) {
      await this.#make();
      this.#holders.clear();
    }
    if (faults.some(({ key }) => key !== "holder")) await this.#set();
    return faults;
  }

  /** Ends the configuration. The device goes on. */
  close(): void {
    this.#control.close();
    this.#inside.close();
  }

  async #make(): Promise<void> {
    const { device, namespace, mtu } = this.#options;
    // One that an earlier process has not moved.
    await removeDevice(this.#netlink, device);
    // Made here, its socket stays here.
    await makeLink(this.#netlink, device, "wireguard", { alias: DEVICE_ALIAS, mtu });
    const link = await this.#find(this.#netlink);
    await changeLink(this.#netlink, `move the device ${device}`, link.ifindex, { namespace: namespace.fd });
  }

  async #set(): Promise<void> {
    const { device, privateKey, listenPort, mtu } = this.#options;
    const { ifindex } = await this.#find(this.#inside);
    this.#ifindex = ifindex;
    try {
      await this.#control.change(device, { privateKey, listenPort });
      await changeLink(this.#inside, `enable the device ${device}`, ifindex, { alias: DEVICE_ALIAS, mtu, up: true });
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === Errno.EADDRINUSE) throw portInUse(listenPort, error);
      throw error;
    }
    await addHostAddress(this.#inside, ifindex, this.address);
    // The kernel removes the routes of a device that is down.
    for (const [address, { mtu: largest }] of this.#holders) await this.#setRoute(address, largest);
  }

  #setRoute(address: string, mtu: number | undefined): Promise<void> {
    return setHostRoute(this.#inside, { address, ifindex: this.#ifindex, mtu });
  }

  /** Whether a route of a peer is gone, or has another MTU. */
  async #lacksRoutes(): Promise<boolean> {
    if (this.#holders.size === 0) return false;
    const routes = new Map((await listHostRoutes(this.#inside)).map((route) => [route.address, route]));
    return [...this.#holders].some(([address, { mtu }]) => {
      const route = routes.get(address);
      return route === undefined || route.mtu !== mtu;
    });
  }

  async #find(netlink: Netlink): Promise<KernelLink> {
    const link = await findKernelLink(netlink, this.#options.device);
    if (link === undefined)
      throw new WeaveError("WEAVE_NATIVE", `the WireGuard device ${this.#options.device} is gone again`);
    return link;
  }

  async #removePeers(isRemoved: (peer: WireguardPeerState) => boolean): Promise<void> {
    const removed = (await this.peers()).filter(isRemoved);
    if (removed.length === 0) return;
    const peers = removed.map(({ publicKey }) => ({ publicKey, remove: true }));
    await this.#control.change(this.#options.device, { peers });
    const addresses = new Set<string>();
    for (const { publicKey, allowed } of removed)
      for (const network of allowed) {
        const address = network.replace("/32", "");
        addresses.add(address);
        this.#holders.release(address, publicKey);
      }
    for (const { address } of (await listHostRoutes(this.#inside)).filter((route) => addresses.has(route.address)))
      await removeHostRoute(this.#inside, address);
  }
}

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function portInUse(port: number, cause: unknown): WeaveError {
  return new WeaveError("WEAVE_PORT_IN_USE", `WireGuard cannot use UDP port ${port}: another program has it`, {
    cause,
    next: `Find it with 'ss -lunp sport = :${port}', or choose another port on all hosts with --port.`,
  });
}
