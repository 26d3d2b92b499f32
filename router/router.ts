import type { DockerSockets } from "#docker/sockets.js";
import { startIpam } from "#router/addresses/service.js";
import { BusyHolders } from "#router/attachments/busy-holders.js";
import { openAttachments } from "#router/attachments/service.js";
import { openCniIpamHolders, startCni } from "#router/cni/service.js";
import type { FrameWorkers } from "#router/datapath/frame-workers.js";
import { startDocker } from "#router/docker/service.js";
import type { LogLines } from "#router/event-log/event-collector.js";
import { openEventJournal, startEvents } from "#router/event-log/service.js";
import type { Exposure } from "#router/exposure/exposure.js";
import { startExposure } from "#router/exposure/service.js";
import { probeFeatures } from "#router/frames/kernel-path.js";
import { type FramePath, openFramePorts, startFramePath, TAP_NAME } from "#router/frames/service.js";
import { watchHost, watchNamespaces } from "#router/host/service.js";
import { startWeaveDns } from "#router/names/service.js";
import type { RouterOptions } from "#router/options.js";
import { hostIdentity } from "#router/peers/host-identity.js";
import { connectMesh, firstTargets, followPeers, openPeerPort, startMesh } from "#router/peers/mesh.js";
import { startProbes } from "#router/probes/service.js";
import type { Service } from "#router/service.js";
import { servicesOf } from "#router/services.js";
import { openContext, type StartContext } from "#router/start-context.js";
import type { Emitter } from "#src/emitter.js";
import { cniReleaseFolder, paths } from "#src/paths.js";

/** Time limit for releasing the resources of a failed start: the user must soon receive the reason. */
const UNDO_MS = 1_000;

export interface RouterStart extends Pick<StartContext, "log" | "problems"> {
  readonly options: RouterOptions;
  /** Emits the lines of the log. */
  readonly lines: Emitter<LogLines>;
  /** The threads of the frame path. */
  readonly workers: FrameWorkers;
  /** Sockets that already listen; undefined without Docker. */
  readonly docker: DockerSockets | undefined;
  /** True: the supervisor restarts the router after a crash, and the router uses the stored targets. */
  readonly restarted: boolean;
  /** Number of log lines that could not be written, since the start. */
  readonly logLinesLost: () => number;
  /** What the kernel refused to take from this process, in words. */
  readonly unconfined: readonly string[];
  /** Called when the frame path has failed: the process must end, and the supervisor restarts it. */
  readonly onFatal: (error: Error) => void;
}

/** A running router: its services, and the stack of resources that stops them. */
export class Router {
  readonly services: readonly Service[];
  readonly #context: StartContext;

  private constructor(services: readonly Service[], context: StartContext) {
    this.services = services;
    this.#context = context;
  }

  /**
   * Starts a router. A failed start releases its resources.
   *
   * @throws WeaveError with a message for the user
   */
  static async start(start: RouterStart): Promise<Router> {
    const context = openContext(start.options.dbPrefix, start.log, start.problems);
    try {
      const services = await startServices(start, context);
      context.resources.commit();
      return new Router(services, context);
    } catch (error) {
      await context.resources.release(UNDO_MS);
      throw error;
    }
  }

  /** Stops all services in reverse order. The bridge and the attached containers stay as they are. */
  async stop(): Promise<void> {
    const { resources, log } = this.#context;
    await resources.release();
    log.info("router stopped");
  }
}

/**
 * Starts the services in this order; a stop reverses the order:
 * 1. the database: all services read it, and its contents may be damaged; then the events, which the rest of the start may cause;
 * 2. the ports, before the host is changed: a port in use is the most common reason for a failed start;
 * 3. frame path, then mesh: a neighbour needs a session of the frame path. Peers are neither accepted nor dialled yet;
 * 4. exposed addresses and firewall, then the kernel's path, whose senders it limits, and the host's links: containers that were removed
 *    from the bridge meanwhile must be back before the next step, which determines the containers that still run;
 * 5. addresses and names, then the watch of the containers' namespaces, which notifies both of containers that have ended;
 * 6. Docker: its clients request addresses, so the addresses in use on this host must be recorded before;
 * 7. peers: all gossip channels are open before the first message of a peer arrives.
 * At a stop the mesh notifies its peers while its sockets are open. The database closes last.
 */
async function startServices(start: RouterStart, context: StartContext): Promise<readonly Service[]> {
  const { options, docker, restarted, workers, onFatal } = start;
  const { bridge, mtu, port } = options;
  // The kernel answers while the rest starts.
  const features = probeFeatures(options);
  const targets = firstTargets({ ...options, resume: restarted || options.resume }, context.store);
  const identity = await hostIdentity(options, context.store);
  const { name: self, incarnation, signer } = identity;
  const journal = openEventJournal({ ...context, self, dbPrefix: options.dbPrefix, lines: start.lines });

  const sockets = openFramePorts(options, context);
  const peerPort = await openPeerPort(options, context);
  const frames = await startFramePath({ ...context, options, identity, sockets, workers, features });
  const mesh = await startMesh({ ...context, options, identity, overlay: frames.carriers });
  const macs = await frames.connect(mesh, incarnation);
  const directory = followPeers(mesh, context);

  const exposure = await startFirewall(start, frames, context);
  await watchHost({
    ...context,
    expected: { bridge, mac: self, mtu, tap: TAP_NAME },
    repairOthers: (links) => exposure.repair(links),
    onTapGone: onFatal,
  });

  const common = { ...context, self, signer, incarnation, mesh, directory };
  const ipam = options.addresses && startIpam({ ...common, options: options.addresses });
  const dockerAddress = docker && (await docker.absentBridgeAddress());
  const bridges = { docker: options.docker.bridge, dockerAddress, weave: bridge };
  const dns = options.names && (await startWeaveDns({ ...common, options: options.names, bridges }));
  const cniHolders = ipam && openCniIpamHolders(ipam, context);
  const holders = [ipam, dns, cniHolders].filter((each) => each !== undefined);
  const busy = new BusyHolders();
  await watchNamespaces(holders, busy, context);
  await ipam?.reclaim(exposure.addresses, docker !== undefined);
  const attachments = openAttachments({ ...context, ipam, dns, exposure, mesh, busy }, { bridge, mtu });
  const dockerIntegration =
    docker && startDocker(docker, { ...common, port, bridge, mtu, ipam, dns, holders, attachments });
  const releases = cniReleaseFolder(paths().run);
  const cni = await startCni(
    { ipam, holders: cniHolders, dns, attachments, exposure, busy, bridge, bridgeMac: self, mtu, releases },
    context,
  );
  const events = startEvents({ ...context, self, incarnation, mesh, journal });
  const inspect = docker && ((text: string) => docker.engine.container(text));
  const probes = startProbes({ ...context, self, bridge, mtu, mesh, directory, macs, ipam, dns, inspect });
  connectMesh(mesh, { peerPort, targets }, options, context.log);

  return servicesOf({
    ...{ settings: options, context, identity, mesh, directory, macs },
    ...{ datapath: frames.datapath, carriers: frames.carriers, kernelPath: frames.kernelPath },
    ...{ ipam, dns, docker, dockerIntegration, exposure, attachments, cni, events, probes },
    logLinesLost: start.logLinesLost,
    unconfined: start.unconfined,
  });
}

/** Exposes the stored addresses, and opens the kernel's path to the network when the firewall has its rules. */
async function startFirewall(
  { options, docker }: Pick<RouterStart, "options" | "docker">,
  { kernelPath }: Pick<FramePath, "kernelPath">,
  context: StartContext,
): Promise<Exposure> {
  const { bridge, port, hostPorts } = options;
  const dockerBridge = docker && options.docker.bridge;
  const rules = { bridge, port, clearTunnel: kernelPath?.clearSenders, hostPorts, dockerBridge };
  const exposure = await startExposure(rules, context);
  await kernelPath?.start(() => exposure.unprotected);
  return exposure;
}
