import { availableParallelism } from "node:os";
import type { Mesh } from "#mesh/mesh.js";
import { CARRIERS } from "#router/carriers/carrier-list.js";
import { Carriers } from "#router/carriers/carriers.js";
import { CLEAR_DEVICE, ENCRYPTED_DEVICE } from "#router/carriers/fastdp/devices.js";
import { fastdpCarrier } from "#router/carriers/fastdp/fastdp.js";
import type { KernelPath } from "#router/carriers/fastdp/kernel-path.js";
import { Datapath, threadsFor } from "#router/datapath/datapath.js";
import { FrameWorkers } from "#router/datapath/frame-workers.js";
import { allowedOffloads } from "#router/datapath/offloads.js";
import type { OffloadName, Offloads } from "#router/datapath/protocol.js";
import { AT_LANE } from "#router/datapath/record.js";
import { WARM_UP_CPU_MS } from "#router/datapath/warm-up.js";
import { claimsBlocks, frameClaims } from "#router/frames/claims.js";
import {
  type FrameIdentity,
  type KernelPathSettings,
  type KernelPathStart,
  startKernelPath,
  startMacs,
} from "#router/frames/kernel-path.js";
import { frameMetrics } from "#router/frames/metrics.js";
import { frameRouteTable } from "#router/frames/route-table.js";
import { handleDatapathEvent, nextHopTo } from "#router/frames/thread-events.js";
import type { Macs } from "#router/macs/macs.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import { systemClock } from "#src/clock.js";
import { addRouterPort, ensureBridge } from "#src/linux/links/bridge.js";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import { deleteLink } from "#src/linux/links/links.js";
import { closeFd } from "#src/linux/native/files.js";
import { openTap } from "#src/linux/native/tap.js";
import { type FrameSockets, openFrameSockets } from "#src/linux/native/udp.js";
import { linkMtuTo, sourceTo } from "#src/linux/routes/route-to.js";
import { RouteWatch } from "#src/linux/routes/route-watch.js";
import { macNumber } from "#src/mac.js";
import { listenEndpoint } from "#src/net/endpoint.js";
import { systemRandom } from "#src/random.js";

/** Name of the TAP device. A network namespace has one router, and a router has one TAP. */
export const TAP_NAME = "weave-tap";
/** Ports of the bridge that lead to other peers: a MAC behind one of them is not local. */
const OVERLAY_PORTS: ReadonlySet<string> = new Set([TAP_NAME, CLEAR_DEVICE, ENCRYPTED_DEVICE]);

export interface FrameOptions extends KernelPathSettings {
  /** The address to listen at; "" for all. */
  readonly host: string;
  /** 0: chosen by the number of cores. */
  readonly datapathThreads: number;
  /** Nice value of the threads; 0: unchanged. */
  readonly datapathNice: number;
  readonly offloadsOff: readonly OffloadName[];
}

type ThreadOptions = Pick<FrameOptions, "datapathThreads" | "datapathNice" | "offloadsOff">;

const threadCount = ({ datapathThreads }: Pick<FrameOptions, "datapathThreads">): number =>
  datapathThreads || threadsFor(availableParallelism());

/**
 * Starts the frame threads, which warm up while the rest of the router starts.
 *
 * @param onFailure called when a thread has died. Only a new process can restore the frame path
 */
export function startFrameWorkers(options: ThreadOptions, onFailure: (error: Error) => void): FrameWorkers {
  const offloads = allowedOffloads(options.offloadsOff);
  return new FrameWorkers({
    threads: threadCount(options),
    cpuMs: WARM_UP_CPU_MS,
    offloads,
    nice: options.datapathNice,
    onFailure,
  });
}

/** Opens the UDP sockets of the frame threads, one for each thread. @throws WEAVE_PORT_IN_USE */
export function openFramePorts(options: FrameOptions, { resources }: Pick<StartContext, "resources">): FrameSockets {
  const threads = threadCount(options);
  const offloads = allowedOffloads(options.offloadsOff);
  const sockets = openFrameSockets(listenEndpoint(options.host, options.port), threads, AT_LANE, offloads);
  resources.add("frame sockets", () => sockets.fds.forEach(closeFd));
  return sockets;
}

export interface FramePathDeps extends Pick<StartContext, "events" | "resources" | "problems" | "log" | "store"> {
  readonly options: FrameOptions;
  readonly identity: FrameIdentity;
  readonly sockets: FrameSockets;
  readonly workers: FrameWorkers;
  readonly features: KernelPathStart["features"];
}

export interface FramePath {
  readonly datapath: Datapath;
  /** The overlay of the mesh: it transports frames to neighbours. */
  readonly carriers: Carriers;
  /** Undefined with `--no-fastdp`. */
  readonly kernelPath: KernelPath | undefined;
  /** Sends changes of the mesh to the threads, handles the events of the threads, and follows the MACs of all hosts. */
  connect(mesh: Mesh, incarnation: number): Promise<Macs>;
}

/** Creates the TAP, the bridge and the frame threads. The bridge remains when the router stops, so containers stay connected. */
export async function startFramePath(deps: FramePathDeps): Promise<FramePath> {
  const { options, identity, events, resources, log } = deps;
  const self = identity.name;
  const offloads = allowedOffloads(options.offloadsOff);
  const tap = await makeLinks(deps, offloads);
  const datapath = new Datapath({
    self: macNumber(self),
    tap,
    sockets: deps.sockets,
    openssl: offloads.openssl,
    workers: deps.workers,
    onEvent: (event) => void events.emit("frames", event),
  });
  resources.add("frame threads", () => datapath.stop());
  const kernelPath = await startKernelPath(options, { ...identity, tap: TAP_NAME }, { ...deps, offloads });
  const carriers = new Carriers({
    carriers: kernelPath === undefined ? CARRIERS : [fastdpCarrier(kernelPath.tunnels), ...CARRIERS],
    datapath,
    bridge: { name: options.bridge, mtu: options.mtu },
    linkMtu: linkMtuTo,
    sourceTo,
    clock: systemClock,
    random: systemRandom,
    log,
  });
  const routeWatch = new RouteWatch(() => carriers.linksChanged());
  resources.add("route watch", () => routeWatch.stop());
  return { datapath, carriers, kernelPath, connect };

  function connect(mesh: Mesh, incarnation: number): Promise<Macs> {
    events.on("routes", () => {
      const routes = frameRouteTable(mesh.frameRoutes, (peer) => nextHopTo(mesh, peer));
      datapath.send({ do: "routes", routes });
    });
    events.on("suspended", (peer) => datapath.send({ do: "forget", peer: macNumber(peer) }));
    const handlers = { carriers, mesh, datapath, bridge: options.bridge, overlayPorts: OVERLAY_PORTS, log };
    events.on("frames", (event) => handleDatapathEvent(event, handlers));
    const overlayPorts = () => new Set([interfaceIndex(TAP_NAME)]);
    return startMacs({ ...deps, self, bridge: options.bridge, mesh, incarnation, datapath, kernelPath, overlayPorts });
  }
}

export interface FrameServiceDeps {
  readonly datapath: Datapath;
  readonly carriers: Carriers;
  readonly mesh: Pick<Mesh, "peer" | "status">;
  readonly settings: { readonly metricsPeers: number };
}

/** The frame path's metrics, and what peers have claimed wrongly. Its report and further status lines are part of the service `peers`. */
export function frameService(deps: FrameServiceDeps): Service {
  const { datapath, carriers, mesh, settings } = deps;
  return {
    name: "frames",
    metrics: () => frameMetrics({ datapath, carriers, mesh, maxPeers: settings.metricsPeers }),
    async statusBlocks() {
      // The threads are busy with frames: they are asked only when there is something.
      const report = datapath.contested ? await datapath.report() : undefined;
      return report === undefined ? [] : claimsBlocks(frameClaims(report, (peer) => mesh.peer(peer)?.nickname ?? ""));
    },
  };
}

async function makeLinks({ options, identity, sockets, resources }: FramePathDeps, offloads: Offloads) {
  const tap = openTap(TAP_NAME, sockets.fds.length, offloads);
  resources.add("TAP device", async () => {
    tap.close();
    await deleteLink(TAP_NAME).catch(() => {});
  });
  if (await ensureBridge(options.bridge, identity.name, options.mtu))
    resources.addUndo("bridge", () => deleteLink(options.bridge));
  await addRouterPort(options.bridge, TAP_NAME, options.mtu);
  return tap;
}
