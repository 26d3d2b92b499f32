import type { DockerSockets } from "#docker/sockets.js";
import { addressService, startIpam } from "#router/addresses/service.js";
import { attachmentService, openAttachments } from "#router/attachments/service.js";
import { dockerService, startDocker } from "#router/docker/service.js";
import { exposureService, startExposure } from "#router/exposure/service.js";
import { openFramePorts, startFramePath, TAP_NAME } from "#router/frames/frame-path.js";
import { frameService } from "#router/frames/service.js";
import { hostService, watchHost, watchNamespaces } from "#router/host/service.js";
import { nameService, startWeaveDns } from "#router/names/service.js";
import type { RouterOptions } from "#router/options.js";
import { hostIdentity } from "#router/peers/host-identity.js";
import { connectMesh, firstTargets, followPeers, openPeerPort, startMesh } from "#router/peers/mesh.js";
import { connectedHosts, peerService, unconnectedAddresses } from "#router/peers/service.js";
import type { Service } from "#router/service.js";
import { openContext, type StartContext } from "#router/start-context.js";

/** What a failed start has made is released in this time, or left: the reason must get to the user. */
const UNDO_MS = 1_000;

export interface RouterStart extends Pick<StartContext, "log" | "problems"> {
  readonly options: RouterOptions;
  /** Listens already; undefined without Docker. */
  readonly docker: DockerSockets | undefined;
  /** The supervisor starts the router again after a crash: its targets are the stored ones. */
  readonly restarted: boolean;
  /** Lines of the log that could not be written, since the start. */
  readonly logLinesLost: () => number;
  /** The frame path is gone: the process must end, to be started again. */
  readonly onFatal: (error: Error) => void;
}

/** A running router: its services, on the stack of resources that ends them. */
export class Router {
  readonly services: readonly Service[];
  readonly #context: StartContext;

  private constructor(services: readonly Service[], context: StartContext) {
    this.services = services;
    this.#context = context;
  }

  /**
   * Starts a router. What a start that fails has made is released.
   *
   * @throws WeaveError, in words for the user
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

  /** Ends everything, last started first. The bridge and the containers on it stay as they are. */
  async stop(): Promise<void> {
    const { resources, log } = this.#context;
    await resources.release();
    log.info("router stopped");
  }
}

/**
 * The order of a start, and in reverse of a stop:
 * 1. the database, for everything reads it, and what it holds may be damaged;
 * 2. the ports, before anything is made on the host: one in use is the commonest reason for a start to fail;
 * 3. frame path, then mesh: a neighbour needs a session of the frame path. Peers are neither accepted nor dialled yet;
 * 4. exposed addresses and firewall, then the host's links: containers may have been taken off the bridge meanwhile, and must
 *    be back before the next step, which finds out which of them still run;
 * 5. addresses and names, then the containers' namespaces: both are notified of containers that have ended;
 * 6. Docker, whose clients request addresses: those in use on this host must be known by then;
 * 7. peers: the first message from one finds all channels open.
 * At a stop the mesh notifies its peers while its sockets are open, and the database closes last.
 */
async function startServices(start: RouterStart, context: StartContext): Promise<readonly Service[]> {
  const { options, docker, restarted, onFatal } = start;
  const { bridge, mtu, port } = options;
  const dockerBridge = docker && options.docker.bridge;
  const targets = firstTargets({ ...options, resume: restarted || options.resume }, context.store);
  const identity = await hostIdentity(options, context.store);
  const { name: self, incarnation } = identity;

  const sockets = openFramePorts(options, context);
  await openPeerPort(options, context);
  const frames = await startFramePath({ ...context, options, self, sockets, onFailure: onFatal });
  const mesh = await startMesh({ ...context, options, identity, overlay: frames.carriers });
  frames.connect(mesh);
  const directory = followPeers(mesh, context);

  const exposure = await startExposure({ bridge, port, hostPorts: options.hostPorts, dockerBridge }, context);
  await watchHost({
    ...context,
    expected: { bridge, mac: self, mtu, tap: TAP_NAME },
    repairOthers: (links) => exposure.repair(links),
    onTapGone: onFatal,
  });

  const common = { ...context, self, incarnation, mesh, directory };
  const ipam = options.addresses && startIpam({ ...common, options: options.addresses });
  const bridges = { docker: options.docker.bridge, weave: bridge };
  const dns = options.names && (await startWeaveDns({ ...common, options: options.names, bridges }));
  const holders = [ipam, dns].filter((each) => each !== undefined);
  await watchNamespaces(holders, context);
  await ipam?.reclaim(exposure.addresses, docker !== undefined);
  const attachments = openAttachments({ ...context, ipam, dns, exposure, mesh }, { bridge, mtu });
  const docking = docker && startDocker(docker, { ...common, bridge, mtu, ipam, dns, holders, attachments });
  connectMesh(mesh, targets, options, context);

  return [
    peerService({
      mesh,
      datapath: frames.datapath,
      settings: options,
      rejectedElsewhere: () => dns?.names.rejected ?? 0,
    }),
    ...(ipam
      ? [
          addressService({
            ipam,
            requireRunning: docking && ((ident) => docking.requireRunning(ident)),
            unconnected: () => unconnectedAddresses(mesh),
            log: context.log,
          }),
        ]
      : []),
    ...(dns ? [nameService(dns)] : []),
    ...(docking ? [dockerService(docking, { ipam, dns })] : []),
    exposureService({ exposure, connectedHosts: () => connectedHosts(mesh) }),
    attachmentService({ attachments, bridge, inspect: docker && ((text) => docker.engine.container(text)) }),
    frameService(frames.datapath),
    hostService(start.logLinesLost),
  ];
}
