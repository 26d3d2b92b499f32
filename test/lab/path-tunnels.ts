import { generateKeyPairSync, randomBytes } from "node:crypto";
import { FrameSocket } from "#src/linux/native/frame-socket.js";
import { inNamespace } from "#src/linux/native/namespace-entry.js";
import { VxlanPort } from "#src/linux/vxlan/vxlan-port.js";
import { Tunnel, type TunnelPeer, tunnelAddress, WIREGUARD_OVERHEAD } from "#src/linux/wireguard/tunnel.js";
import { endpoint } from "#src/net/endpoint.js";
import { makePathHosts, PATH_MTU, type PathHost, PORT } from "#test/lab/path-hosts.js";

/** The WireGuard device of all path hosts. */
export const WG = "weave-wg";
export const TUNNEL_MTU = 1_500 - WIREGUARD_OVERHEAD;
const IPV4 = 0x0800;

interface TunnelKeys {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

export function makeTunnelKeys(): TunnelKeys {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const last = (der: Buffer) => Uint8Array.from(der.subarray(-32));
  return {
    privateKey: last(privateKey.export({ type: "pkcs8", format: "der" })),
    publicKey: last(publicKey.export({ type: "spki", format: "der" })),
  };
}

/** Two path hosts with WireGuard, and VXLAN inside of it; the peers are the test's. */
export class PathTunnels {
  readonly tunnels: Tunnel[] = [];
  presharedKey = randomBytes(32);
  readonly hosts: readonly [PathHost, PathHost];
  readonly #keys = [makeTunnelKeys(), makeTunnelKeys()];

  private constructor(hosts: readonly [PathHost, PathHost]) {
    this.hosts = hosts;
  }

  static async make(): Promise<PathTunnels> {
    const path = new PathTunnels(await makePathHosts(PATH_MTU));
    for (const [index, host] of path.hosts.entries()) {
      path.tunnels.push(await path.ensure(index));
      await VxlanPort.ensure(host.netlink, {
        ...host.vxlan(),
        local: tunnelAddress(host.mac),
        tunnel: host.tunnel(),
      });
      const other = path.hosts[1 - index];
      const failures = await (await host.table()).set(other.entries(tunnelAddress(other.mac)));
      if (failures.length > 0) throw new Error(failures[0].reason);
    }
    return path;
  }

  /** The tunnels of a host, as a router that starts finds or makes them. */
  ensure(index: number, keys = this.#keys[index], device = WG): Promise<Tunnel> {
    const host = this.hosts[index];
    const options = { device, namespace: host.tunnel(), listenPort: PORT, self: host.mac, mtu: TUNNEL_MTU };
    return Tunnel.ensure(host.netlink, { ...options, ...keys });
  }

  /** Sets the other end, as the host with this index sees it. */
  async setPeer(index: number, change: Partial<TunnelPeer> = {}): Promise<void> {
    const other = this.hosts[1 - index];
    await this.tunnels[index].setPeer({
      peer: other.mac,
      publicKey: this.#keys[1 - index].publicKey,
      presharedKey: this.presharedKey,
      endpoint: endpoint(other.address, PORT),
      mtu: undefined,
      keepaliveSeconds: 0,
      ...change,
    });
  }

  /** Sends echo requests from container to container, of full size by default. @returns the answered ones */
  pings(count: number, size = PATH_MTU - 28): Promise<number> {
    const [a, b] = this.hosts;
    return a.container.ping(b.containerAddress, { count, size, wait: 3 });
  }

  /** All IPv4 packets that arrive at a host from now on. */
  async wireOf(host: PathHost): Promise<FrameSocket> {
    const index = await host.index("eth0");
    return inNamespace(host.path, () => new FrameSocket(index, IPV4));
  }

  async dispose(): Promise<void> {
    for (const tunnel of this.tunnels) tunnel.close();
    for (const host of this.hosts) await host.dispose();
  }
}

/** Reads the packets that a socket has received. @returns their number, and how many contain a MAC */
export function packetsWith(wire: FrameSocket, mac: string): { packets: number; clear: number } {
  const octets = Buffer.from(mac.replaceAll(":", ""), "hex");
  const count = { packets: 0, clear: 0 };
  for (let frame = wire.receive(); frame !== undefined; frame = wire.receive()) {
    count.packets++;
    if (Buffer.from(frame).includes(octets)) count.clear++;
  }
  wire.close();
  return count;
}
