import { diffieHellman, hkdf, type KeyPair, keyPair } from "#mesh/handshake/noise.js";
import type { PeerName } from "#mesh/peer.js";
import type { CarrierSpeeds, TunnelWish } from "#router/carriers/fastdp/carrier-speeds.js";
import { VXLAN_OVERHEAD } from "#router/carriers/fastdp/clear-tunnel.js";
import { ENCRYPTED_DEVICE, WIREGUARD_DEVICE } from "#router/carriers/fastdp/devices.js";
import type { KernelTunnel, PeerTunnel, PeerTunnelOptions, TunnelKey } from "#router/carriers/fastdp/kernel-tunnel.js";
import type { PeerPaths } from "#router/carriers/fastdp/peer-paths.js";
import { TunnelBase, type TunnelHost } from "#router/carriers/fastdp/tunnel-base.js";
import { VxlanDevice } from "#router/carriers/fastdp/vxlan-device.js";
import type { EntryTable, RefusedEntry, TunnelEntry } from "#router/macs/forwarding.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Netlink } from "#src/linux/netlink/netlink.js";
import { Tunnel, tunnelAddress, WIREGUARD_OVERHEAD } from "#src/linux/wireguard/tunnel.js";
import { TunnelNamespace } from "#src/linux/wireguard/tunnel-namespace.js";
import type { Log } from "#src/log.js";
import type { MacText } from "#src/mac.js";
import { endpoint } from "#src/net/endpoint.js";
import { SerialQueue } from "#src/serial-queue.js";

/** UDP port of VXLAN inside of WireGuard: the namespace is ours alone. */
const INNER_PORT = 6_784;

export interface EncryptedTunnelDeps {
  readonly self: MacText;
  /** Of the host's namespace. */
  readonly netlink: Netlink;
  readonly paths: PeerPaths;
  readonly host: TunnelHost;
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  readonly vni: number;
  /** UDP port of WireGuard. */
  readonly port: number;
  readonly tap: string;
  readonly runFolder: string;
  /** This peer's static key, of which that of WireGuard is derived: it outlives the process. */
  readonly staticSecret: Uint8Array;
  /** Whether the tunnel comes first in any case, or as the speeds are. */
  readonly choice: TunnelWish["choice"];
  readonly log: Log;
}

/**
 * VXLAN inside of the kernel's WireGuard, in a network namespace of its own: nothing outside of WireGuard reaches the socket of VXLAN. Each
 * pair of peers has a preshared key from its connection beside the static keys, which the connection has authenticated.
 */
export class EncryptedTunnel extends TunnelBase implements KernelTunnel {
  readonly overhead = VXLAN_OVERHEAD + WIREGUARD_OVERHEAD;
  readonly description = "VXLAN in WireGuard";
  readonly #deps: EncryptedTunnelDeps;
  readonly isOff: boolean;
  readonly key: TunnelKey;
  readonly #keys: KeyPair;
  #speeds: CarrierSpeeds | undefined;
  #namespace: TunnelNamespace | undefined;
  #wireguard: Tunnel | undefined;
  #device: VxlanDevice | undefined;
  /** Changes of peers, one after another: a peer that connects again must not be removed by the end of its earlier path. */
  readonly #changes = new SerialQueue();

  /** @param off why this host has no such tunnel; undefined: it has one after {@link check} */
  constructor(deps: EncryptedTunnelDeps, off: string | undefined) {
    super(deps.self, off ?? "the WireGuard device is not made yet", deps.host);
    this.#deps = deps;
    this.isOff = off !== undefined;
    const keys = keyPair(hkdf(deps.staticSecret, Buffer.from("wireguard"), 1)[0]);
    this.#keys = keys;
    this.key = { public: keys.public, agree: (theirs) => diffieHellman(keys.secret, theirs) };
  }

  get port(): number {
    return this.#deps.port;
  }

  get wish(): TunnelWish {
    return { choice: this.#deps.choice, speeds: this.#speeds };
  }

  /** Sets what was measured on this host, for the order of the carriers. */
  setSpeeds(speeds: CarrierSpeeds): void {
    this.#speeds = speeds;
    this.reconnect();
  }

  /** The entries of the device; undefined without one. They are refused until {@link check} has made it. */
  get table(): EntryTable | undefined {
    if (this.isOff) return undefined;
    const table = () => this.#device?.table;
    const refused = ({ mac }: TunnelEntry): RefusedEntry => ({ mac, reason: this.problem ?? "there is no tunnel" });
    return {
      set: async (entries) => table()?.set(entries) ?? entries.map(refused),
      remove: async (macs) => table()?.remove(macs) ?? [],
      entries: async () => table()?.entries() ?? new Map(),
      reconcile: async (wanted) => table()?.reconcile(wanted) ?? { added: 0, removed: 0, failures: [] },
    };
  }

  /** Makes or repairs the devices. @returns whether forwarding entries were lost */
  async check(): Promise<boolean> {
    if (this.isOff) return false;
    try {
      const peersLost = await this.#checkWireguard();
      this.#device ??= this.#makeDevice();
      const check = await this.#device.check();
      this.setProblem(check.problem);
      if (peersLost) this.reconnect();
      return check.problem === undefined && check.entriesLost;
    } catch (error) {
      this.setProblem(errorText(error));
      return false;
    }
  }

  /** What an earlier router has sent to the peer in clear is not sent so any more. */
  opened(peer: PeerName, host: string): void {
    this.#deps.paths.begin("encrypted", peer, host);
  }

  async connect(options: PeerTunnelOptions): Promise<PeerTunnel> {
    const { peer, publicKey, linkMtu } = options;
    await this.#setInTurn(options, linkMtu);
    const path = { tunnel: "encrypted", host: tunnelAddress(peer), port: undefined } as const;
    const setMtu = (changed: number) =>
      void this.#setInTurn(options, changed).catch((error) =>
        this.#deps.log.warn("the MTU of a tunnel cannot be set", { peer, why: errorText(error) }),
      );
    // A peer that is gone for good must not send frames any more.
    const ended = () =>
      void this.#changes
        .run(async () => {
          // It may have connected again meanwhile.
          if (!this.#deps.paths.leadTo(peer)) await this.#wireguard?.removePeer(peer, publicKey);
        })
        .catch((error) =>
          this.#deps.log.warn("a peer cannot be removed from WireGuard", { peer, why: errorText(error) }),
        );
    return await this.#deps.paths.connect(peer, path, { setMtu, ended });
  }

  /** Removes the peers that this process has not set: those of an earlier one that have not connected since. @throws WEAVE_NATIVE */
  async removeOthers(): Promise<void> {
    await this.#changes.run(async () => this.#wireguard?.removeOthers());
  }

  close(): void {
    this.#device?.close();
    this.#wireguard?.close();
    this.#namespace?.close();
    this.#keys.secret.fill(0);
  }

  /** Largest packet inside of WireGuard, in bytes: a frame of the bridge in VXLAN. */
  get #innerMtu(): number {
    return this.#deps.mtu + VXLAN_OVERHEAD;
  }

  /** The connection's preshared key is zeroed at its end, which may come before the turn. */
  #setInTurn(options: PeerTunnelOptions, linkMtu: number): Promise<void> {
    const presharedKey = Uint8Array.from(options.presharedKey);
    return this.#changes
      .run(() => this.#setPeer({ ...options, presharedKey }, linkMtu))
      .finally(() => presharedKey.fill(0));
  }

  async #checkWireguard(): Promise<boolean> {
    const { netlink, runFolder, port, self, log } = this.#deps;
    if (this.#wireguard !== undefined) {
      const repaired = await this.#wireguard.repair();
      for (const { what } of repaired)
        log.warn("the kernel's path was changed by another program; it is repaired", { was: what });
      return repaired.some(({ key }) => key === "device");
    }
    this.#namespace ??= TunnelNamespace.ensure(runFolder);
    this.#wireguard = await Tunnel.ensure(netlink, {
      device: WIREGUARD_DEVICE,
      namespace: this.#namespace,
      listenPort: port,
      privateKey: this.#keys.secret,
      publicKey: this.#keys.public,
      self,
      mtu: this.#innerMtu,
    });
    return false;
  }

  #makeDevice(): VxlanDevice {
    const { netlink, bridge, mtu, vni, tap, log } = this.#deps;
    const tunnel = this.#namespace!;
    const local = this.#wireguard!.address;
    const options = { name: ENCRYPTED_DEVICE, bridge, mtu, vni, port: INNER_PORT, local, tunnel };
    return new VxlanDevice({ netlink, options, tap, heartbeats: this.heartbeats, cookie: this.cookie, log });
  }

  async #setPeer({ peer, host, port, publicKey, presharedKey, isDialler }: PeerTunnelOptions, linkMtu: number) {
    if (publicKey.length !== 32 || this.#wireguard === undefined)
      throw new WeaveError("WEAVE_NATIVE", this.problem ?? "the other end has sent no key of WireGuard");
    await this.#wireguard.setPeer({
      peer,
      publicKey,
      presharedKey,
      // The other end's port may be another one behind a NAT: WireGuard follows the packets of the one that dialled.
      endpoint: isDialler ? endpoint(host, port) : undefined,
      mtu: Math.min(this.#innerMtu, linkMtu - WIREGUARD_OVERHEAD),
      // Heartbeats keep it open.
      keepaliveSeconds: 0,
    });
  }
}
