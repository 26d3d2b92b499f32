import type { KeyPair } from "#mesh/handshake/noise.js";
import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import { removeDevices } from "#router/carriers/fastdp/devices.js";
import { HostSpeeds } from "#router/carriers/fastdp/host-speeds.js";
import { type FastdpEncrypted, KernelPath, type KernelPathOptions } from "#router/carriers/fastdp/kernel-path.js";
import { measureSpeeds } from "#router/carriers/fastdp/speed-trial.js";
import type { Command, Offloads } from "#router/datapath/protocol.js";
import { Forwarding } from "#router/macs/forwarding.js";
import { MACS_CHANNEL } from "#router/macs/mac-announcements.js";
import { Macs } from "#router/macs/macs.js";
import type { StartContext } from "#router/start-context.js";
import type { Cidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { type KernelFeature, probeKernelFeatures } from "#src/linux/vxlan/features.js";
import { LearnedMacs } from "#src/linux/vxlan/learned-macs.js";
import { paths } from "#src/paths.js";

export interface KernelPathSettings {
  readonly port: number;
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  readonly noFastdp: boolean;
  readonly fastdpEncrypted: FastdpEncrypted;
  readonly encryption: boolean;
  readonly trustedSubnets: readonly Cidr[];
}

/** This peer's name, and the key of which those of the kernel's path are derived. */
export interface FrameIdentity {
  readonly name: PeerName;
  readonly staticKey: KeyPair;
}

/** Tries what the kernel has, beside other work; undefined with `--no-fastdp`. */
export const probeFeatures = ({
  noFastdp,
}: Pick<KernelPathSettings, "noFastdp">): Promise<readonly KernelFeature[]> | undefined =>
  noFastdp ? undefined : probeKernelFeatures();

export interface KernelPathStart extends Pick<StartContext, "resources" | "problems" | "log" | "store"> {
  /** Of {@link probeFeatures}. */
  readonly features: ReturnType<typeof probeFeatures>;
  /** Those that the frame path may use. */
  readonly offloads: Offloads;
}

/** Makes the kernel's path; undefined with `--no-fastdp`, which removes that of an earlier start. */
export async function startKernelPath(
  options: KernelPathSettings,
  { name: self, staticKey, tap }: FrameIdentity & { readonly tap: string },
  { resources, problems, log, store, features, offloads }: KernelPathStart,
): Promise<KernelPath | undefined> {
  if (features === undefined) {
    // Frames take the router all the same.
    await removeDevices(paths().run).catch((error) =>
      log.warn("the kernel's path of an earlier start cannot be removed", { why: errorText(error) }),
    );
    return undefined;
  }
  const { bridge, mtu, port, encryption, fastdpEncrypted } = options;
  const settings = { self, bridge, mtu, tap, port, encrypted: encryption, fastdpEncrypted };
  const staticSecret = staticKey.secret;
  const speeds = new HostSpeeds({
    measure: (signal) => measureSpeeds(offloads, signal),
    store,
    clock: systemClock,
    log,
  });
  const path = await KernelPath.open(
    { ...settings, clear: clearHosts(options), staticSecret, runFolder: paths().run },
    { problems, log, features: await features, speeds },
  );
  resources.add("kernel path", () => path.stop());
  return path;
}

/** The hosts whose connections are in clear. */
function clearHosts({ encryption, trustedSubnets }: KernelPathSettings): KernelPathOptions["clear"] {
  if (!encryption) return "all";
  return trustedSubnets.length === 0 ? "none" : trustedSubnets.map(({ text }) => text);
}

export interface MacsStart extends Pick<StartContext, "events" | "resources" | "log"> {
  readonly self: PeerName;
  readonly incarnation: number;
  readonly mesh: Mesh;
  readonly bridge: string;
  readonly kernelPath: KernelPath | undefined;
  /** Ports of the bridge that lead to other hosts, without a kernel path. */
  readonly overlayPorts: () => ReadonlySet<number>;
  readonly datapath: { send(command: Command): void };
}

/**
 * Announces the MACs of this host's bridge, and follows those of other hosts. Without a kernel path too: the bridges of others do not learn
 * at their TAP.
 */
export async function startMacs(deps: MacsStart): Promise<Macs> {
  const { mesh, events, resources, log, kernelPath, self, incarnation, datapath } = deps;
  const forwarding = kernelPath?.forwarding ?? new Forwarding(log);
  const learned = await followBridge(deps);
  const macs = new Macs({
    ...{ self, incarnation, forwarding, datapath, log },
    bridge: { forget: (mac) => learned?.forget(mac) },
    clock: systemClock,
    peers: mesh.peers,
    replicas: mesh.replicas,
    time: () => mesh.time(),
  });
  resources.add("MACs", () => macs.stop());
  for (const { mac } of learned?.entries() ?? []) macs.learned(mac);
  learned?.events.on("learned", ({ mac }) => macs.learned(mac));
  learned?.events.on("removed", ({ mac }) => macs.removed(mac));
  macs.open(mesh.channel(MACS_CHANNEL, macs.gossiper));
  const routes = () => {
    kernelPath?.paths.setReachable(mesh.peers.reachable(), (peer) => mesh.connectionTo(peer)?.state === "established");
    macs.routesChanged();
  };
  events.on("routes", routes);
  events.on("forgotten", (peer) => {
    macs.forget(peer);
    kernelPath?.paths.forget(peer);
  });
  routes();
  kernelPath?.paths.followSecret(() => mesh.rekey.status().order?.id);
  return macs;
}

/** Follows the MACs that the bridge learns; undefined when the kernel does not report them. */
async function followBridge({ bridge, kernelPath, overlayPorts, resources, log }: MacsStart) {
  const netlink = Netlink.open("route");
  resources.add("netlink socket of learned MACs", () => netlink.close());
  try {
    const learned = await LearnedMacs.open(netlink, bridge, () => kernelPath?.overlayPorts() ?? overlayPorts());
    resources.add("learned MACs", () => learned.close());
    return learned;
  } catch (error) {
    log.warn("the MACs of this host are not announced: other hosts flood frames to them", { why: errorText(error) });
    return undefined;
  }
}
