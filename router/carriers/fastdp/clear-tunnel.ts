import type { PeerName } from "#mesh/peer.js";
import type { KernelTunnel, PeerTunnel, PeerTunnelOptions } from "#router/carriers/fastdp/kernel-tunnel.js";
import type { PeerPaths } from "#router/carriers/fastdp/peer-paths.js";
import { TunnelBase, type TunnelHost } from "#router/carriers/fastdp/tunnel-base.js";
import { VxlanDevice, type VxlanDeviceDeps } from "#router/carriers/fastdp/vxlan-device.js";
import type { EntryTable } from "#router/macs/forwarding.js";
import { isIpv4 } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { MacText } from "#src/mac.js";

/** Headers of Ethernet, VXLAN, UDP and IPv4 around an IP packet, in bytes (RFC 7348). */
export const VXLAN_OVERHEAD = 14 + 8 + 8 + 20;

export interface ClearTunnelDeps extends Omit<VxlanDeviceDeps, "heartbeats" | "cookie"> {
  readonly self: MacText;
  readonly paths: PeerPaths;
  readonly host: TunnelHost;
}

/** VXLAN between hosts whose connection is in clear. */
export class ClearTunnel extends TunnelBase implements KernelTunnel {
  readonly description = "VXLAN";
  readonly overhead = VXLAN_OVERHEAD;
  readonly key = undefined;
  readonly wish = undefined;
  readonly #port: number;
  readonly #paths: PeerPaths;
  readonly #device: VxlanDevice | undefined;

  /** @param off why this host has no such tunnel; undefined: it has one after {@link check} */
  constructor(deps: ClearTunnelDeps, off: string | undefined) {
    super(deps.self, off ?? "the VXLAN device is not made yet", deps.host);
    this.#port = deps.options.port;
    this.#paths = deps.paths;
    this.#device =
      off === undefined ? new VxlanDevice({ ...deps, heartbeats: this.heartbeats, cookie: this.cookie }) : undefined;
  }

  get port(): number {
    return this.#port;
  }

  get isOff(): boolean {
    return this.#device === undefined;
  }

  /** The entries of the device; undefined without one. */
  get table(): EntryTable | undefined {
    return this.#device?.table;
  }

  /**
   * Makes or repairs the device.
   *
   * @param unprotected why any host could send to it: it is removed then; undefined: its senders are limited, or need not be
   * @returns whether forwarding entries were lost
   */
  async check(unprotected?: string): Promise<boolean> {
    if (unprotected !== undefined) return this.#withdraw(unprotected);
    const check = await this.#device?.check();
    if (check === undefined) return false;
    this.setProblem(check.problem);
    return check.problem === undefined && check.entriesLost;
  }

  opened(peer: PeerName, host: string): void {
    this.#paths.begin("clear", peer, host);
  }

  async connect({ peer, host, port }: PeerTunnelOptions): Promise<PeerTunnel> {
    if (!isIpv4(host))
      throw new WeaveError("WEAVE_NATIVE", `VXLAN in clear needs an IPv4 address of the peer, and it has ${host}`);
    // The kernel follows the MTU of its route, and "too big" messages of the path.
    const path = { tunnel: "clear", host, port: port === this.#port ? undefined : port } as const;
    return await this.#paths.connect(peer, path, { setMtu: () => {}, ended: () => {} });
  }

  close(): void {
    this.#device?.close();
  }

  async #withdraw(reason: string): Promise<false> {
    try {
      await this.#device?.remove();
      this.setProblem(reason);
    } catch (error) {
      this.setProblem(`${reason}; and the VXLAN device cannot be removed: ${errorText(error)}`);
    }
    return false;
  }
}
