import type { PeerName } from "#mesh/peer.js";
import { ClearTunnel } from "#router/carriers/fastdp/clear-tunnel.js";
import {
  CLEAR_DEVICE,
  ENCRYPTED_DEVICE,
  removeClearDevice,
  removeEncryptedDevices,
} from "#router/carriers/fastdp/devices.js";
import { EncryptedTunnel } from "#router/carriers/fastdp/encrypted-tunnel.js";
import type { KernelTunnels } from "#router/carriers/fastdp/fastdp.js";
import type { HostSpeeds } from "#router/carriers/fastdp/host-speeds.js";
import { PeerPaths } from "#router/carriers/fastdp/peer-paths.js";
import { TunnelTables } from "#router/carriers/fastdp/tunnel-tables.js";
import { type EntryTable, Forwarding, type TunnelEntry, type TunnelName } from "#router/macs/forwarding.js";
import { inSubnets, parseCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { CLEAR_FEATURES, ENCRYPTED_FEATURES, type KernelFeature } from "#src/linux/vxlan/features.js";
import { inspectRelayPort, setRelayPort } from "#src/linux/vxlan/vxlan-port.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";
import { systemRandom } from "#src/random.js";

/** The network identifier of VXLAN: the number of Weave Net's UDP port for it. */
export const VNI = 6_784;

/** Interval at which devices and ports are compared with what they must be. */
const CHECK_MS = 2_000;
/** Checks between two comparisons of all forwarding entries, and the number of entries from which there are ten times as many. */
const CHECKS_OF_ENTRIES = 2;
const MANY_ENTRIES = 1_000;
/** Checks between two comparisons of WireGuard's peers. */
const CHECKS_OF_PEERS = 15;
/**
 * Time after the start in which entries of an earlier process are kept: by then the peers that are there have connected, and have announced
 * their MACs.
 */
export const INHERIT_MS = 30_000;

/** When encrypted frames take the kernel's path: see `--fastdp-encrypted`. */
export type FastdpEncrypted = "auto" | "on" | "off";

export interface KernelPathOptions {
  readonly self: PeerName;
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  /** Name of the router's TAP device. */
  readonly tap: string;
  /** UDP port of the mesh: those of the tunnels are the next ones. */
  readonly port: number;
  /** Networks whose hosts have connections in clear, in CIDR notation; "all", or "none": no VXLAN socket is open to the network. */
  readonly clear: "all" | "none" | readonly string[];
  /** Whether encrypted connections are possible. */
  readonly encrypted: boolean;
  readonly fastdpEncrypted: FastdpEncrypted;
  readonly runFolder: string;
  /** This peer's static key. */
  readonly staticSecret: Uint8Array;
}

export interface KernelPathDeps {
  /** What the kernel of this host has. */
  readonly features: readonly KernelFeature[];
  /** How fast this host carries encrypted frames by the kernel and by sleeve. */
  readonly speeds: HostSpeeds;
  readonly problems: Problems;
  readonly log: Log;
}

/** The path of frames in the kernel: its tunnels to other hosts, and the forwarding entries of their MACs. */
export class KernelPath {
  readonly forwarding: Forwarding;
  readonly paths: PeerPaths;
  readonly tunnels: KernelTunnels;
  /** What the kernel of this host has. */
  readonly features: readonly KernelFeature[];
  readonly #options: KernelPathOptions;
  readonly #deps: KernelPathDeps;
  readonly #netlink: Netlink;
  readonly #clear: ClearTunnel;
  readonly #encrypted: EncryptedTunnel;
  readonly #isUsed: boolean;
  readonly #startedAt = systemClock.now();
  /** Whether entries of an earlier process are read, and kept. */
  #inherits: "not yet" | "yes" | "no more" = "not yet";
  #checks = 0;
  #checking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #unprotected: () => string | undefined = () => undefined;

  private constructor(options: KernelPathOptions, deps: KernelPathDeps, netlink: Netlink) {
    const { log, features } = deps;
    this.#options = options;
    this.#deps = deps;
    this.#netlink = netlink;
    this.features = features;
    this.forwarding = new Forwarding(log);
    const paths = new PeerPaths({ forwarding: this.forwarding, clock: systemClock });
    this.paths = paths;
    const off = whyOff(options, features);
    const ports = portsOf(options.port, off.encrypted === undefined);
    const { self, bridge, mtu, tap } = options;
    const vxlan = { bridge, mtu, vni: VNI };
    const host = { heartbeatPaths: new Set<string>(), cookie: systemRandom.below(0xffffffff) };
    this.#clear = new ClearTunnel(
      { self, paths, host, netlink, options: { ...vxlan, name: CLEAR_DEVICE, port: ports.clear }, tap, log },
      off.clear,
    );
    const choice = options.fastdpEncrypted === "on" ? "on" : "auto";
    this.#encrypted = new EncryptedTunnel(
      { ...options, ...vxlan, netlink, paths, host, port: ports.encrypted, choice, log },
      off.encrypted,
    );
    this.tunnels = { clear: this.#clear, encrypted: this.#encrypted };
    const tables = new Map<TunnelName, EntryTable>();
    for (const name of ["clear", "encrypted"] as const) {
      const { table } = name === "clear" ? this.#clear : this.#encrypted;
      if (table !== undefined) tables.set(name, table);
    }
    this.#isUsed = tables.size > 0;
    if (this.#isUsed) this.forwarding.use(new TunnelTables(tables));
  }

  /** Removes what an earlier start has made and this one must not use. {@link start} makes the tunnels. */
  static async open(options: KernelPathOptions, deps: KernelPathDeps): Promise<KernelPath> {
    const path = new KernelPath(options, deps, Netlink.open("route"));
    await path.#removeUnused().catch((error) => deps.log.warn(errorText(error)));
    return path;
  }

  /**
   * Makes the tunnels, or takes over those of an earlier process. A kernel that lacks something has none, with the reason. To be called
   * when the firewall has its rules.
   *
   * @param unprotected why the firewall does not limit {@link clearSenders}; undefined: it does. It is asked at each check
   */
  async start(unprotected: () => string | undefined): Promise<void> {
    if (!this.#isUsed) return;
    this.#unprotected = unprotected;
    await this.check();
    this.#timer = setInterval(() => void this.check(), CHECK_MS).unref();
    // Sleeve first, or last: nothing depends on the speeds.
    if (this.#encrypted.isOff || this.#options.fastdpEncrypted !== "auto") return;
    this.#deps.speeds.start((speeds) => this.#encrypted.setSpeeds(speeds));
  }

  /** What was measured of encrypted frames; undefined: nothing, and nothing will be. */
  get speeds(): HostSpeeds | undefined {
    return this.#encrypted.isOff || this.#options.fastdpEncrypted !== "auto" ? undefined : this.#deps.speeds;
  }

  /** The UDP port of VXLAN in clear, and the networks that may send to it; undefined: there is none, or no limit. */
  get clearSenders(): { readonly port: number; readonly subnets: readonly string[] } | undefined {
    const { clear } = this.#options;
    if (this.#clear.table === undefined || typeof clear === "string") return undefined;
    return { port: this.#clear.port, subnets: clear };
  }

  /** Indexes of the bridge's ports that lead to other hosts. */
  overlayPorts(): ReadonlySet<number> {
    const names = [this.#options.tap, CLEAR_DEVICE, ENCRYPTED_DEVICE];
    return new Set(names.map(interfaceIndex).filter((index) => index !== 0));
  }

  /** Compares what the kernel has with what it must have, and repairs it; or waits for the current comparison. Never rejects. */
  check(): Promise<void> {
    this.#checking ??= this.#check()
      .catch((error) => this.#deps.log.warn("the kernel's path cannot be checked", { why: errorText(error) }))
      .finally(() => {
        this.#checking = undefined;
      });
    return this.#checking;
  }

  /** Ends the checks. Devices and entries stay: frames take them while the router is replaced. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#deps.speeds.stop();
    this.paths.stop();
    await this.#checking;
    this.#clear.close();
    this.#encrypted.close();
    this.#netlink.close();
  }

  /** Removes the devices of an earlier start that this one does not use: their sockets would still take frames. */
  async #removeUnused(): Promise<void> {
    if (this.#clear.table === undefined) await removeClearDevice();
    if (this.#encrypted.table === undefined) await removeEncryptedDevices(this.#options.runFolder);
  }

  /** Why any host could send frames by the VXLAN port; undefined: {@link clearSenders} alone can, or all may. */
  #openToAll(): string | undefined {
    return this.clearSenders === undefined ? undefined : this.#unprotected();
  }

  /** Whether frames may take an entry of an earlier process by the present options. */
  #allows({ tunnel, host }: TunnelEntry): boolean {
    const { clear } = this.#options;
    if (tunnel !== "clear" || clear === "all") return true;
    return clear !== "none" && host !== undefined && inSubnets(host, clear.map(parseCidr));
  }

  /** A TAP of a new router learns, and forwards to all ports. */
  async #checkRelayPort(): Promise<void> {
    const { tap } = this.#options;
    const faults = await inspectRelayPort(this.#netlink, tap);
    if (faults.some(({ key }) => key === "port")) await setRelayPort(this.#netlink, tap);
  }

  async #check(): Promise<void> {
    const { problems, log } = this.#deps;
    const check = this.#checks++;
    let lost = false;
    for (const tunnel of [this.#clear, this.#encrypted]) {
      if (tunnel.table === undefined) continue;
      lost = (await (tunnel === this.#clear ? tunnel.check(this.#openToAll()) : tunnel.check())) || lost;
      const { description, problem } = tunnel;
      if (problem === undefined) problems.clear(`fastdp ${description}`);
      else problems.set(`fastdp ${description}`, `Frames do not take the kernel's path (${description}): ${problem}.`);
    }
    await this.#checkRelayPort();
    if (this.#inherits === "not yet") {
      // Before the first comparison, which would remove them.
      await this.forwarding.inherit((entry) => this.#allows(entry));
      this.#inherits = "yes";
    }
    const isOver = this.#inherits === "yes" && systemClock.now() - this.#startedAt >= INHERIT_MS;
    if (isOver) {
      this.#inherits = "no more";
      this.forwarding.disinherit();
    }
    // From then on each peer of WireGuard is one of this process: a failed removal is repeated.
    if (isOver || (this.#inherits === "no more" && check % CHECKS_OF_PEERS === 0)) await this.#encrypted.removeOthers();
    const every = CHECKS_OF_ENTRIES * (this.forwarding.size >= MANY_ENTRIES ? 10 : 1);
    if (!lost && check % every !== 0) return;
    const repaired = await this.forwarding.reconcile();
    if (repaired > 0) log.info("forwarding entries of the kernel are repaired", { entries: repaired });
  }
}

/** UDP ports of the tunnels: WireGuard has the one that is open for it already, and VXLAN in clear the next, if both are needed. */
function portsOf(mesh: number, encrypted: boolean): Record<TunnelName, number> {
  return { encrypted: mesh + 1, clear: encrypted ? mesh + 2 : mesh + 1 };
}

/** Why this host has no tunnel of either kind; undefined: it has one. */
function whyOff(
  options: KernelPathOptions,
  features: readonly KernelFeature[],
): Record<TunnelName, string | undefined> {
  const missing = (needed: readonly string[]): string | undefined => {
    const reasons = features.filter(({ name, available }) => needed.includes(name) && !available);
    return reasons.length === 0 ? undefined : reasons.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  };
  const room = options.port + 2 > 65_535 ? "the next UDP ports after that of the mesh do not exist" : undefined;
  const encrypted = !options.encrypted
    ? "no connection of this host is encrypted"
    : options.fastdpEncrypted === "off"
      ? "off by --fastdp-encrypted"
      : (room ?? missing(ENCRYPTED_FEATURES));
  const clear = options.clear === "none" ? "no connection of this host is in clear" : (room ?? missing(CLEAR_FEATURES));
  return { clear, encrypted };
}
