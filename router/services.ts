import type { DockerIntegration } from "#docker/docker.js";
import type { DockerSockets } from "#docker/sockets.js";
import type { Mesh } from "#mesh/mesh.js";
import type { Ipam } from "#router/addresses/ipam.js";
import { addressService } from "#router/addresses/service.js";
import type { InspectContainer } from "#router/attachments/attachment-target.js";
import type { Attachments } from "#router/attachments/attachments.js";
import { listAttachments } from "#router/attachments/listing.js";
import { attachmentService } from "#router/attachments/service.js";
import { captureService } from "#router/capture/service.js";
import type { Carriers } from "#router/carriers/carriers.js";
import type { KernelPath } from "#router/carriers/fastdp/kernel-path.js";
import { type Cni, cniService } from "#router/cni/service.js";
import type { Datapath } from "#router/datapath/datapath.js";
import { dockerReportsOf, dockerService } from "#router/docker/service.js";
import { type Events, eventService } from "#router/event-log/service.js";
import type { Exposure } from "#router/exposure/exposure.js";
import { exposureService } from "#router/exposure/service.js";
import { kernelPathService } from "#router/frames/kernel-path-service.js";
import { frameService } from "#router/frames/service.js";
import { hostService } from "#router/host/service.js";
import type { Macs } from "#router/macs/macs.js";
import { nameService } from "#router/names/service.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import type { RouterOptions } from "#router/options.js";
import { pageService } from "#router/page/service.js";
import type { Identity } from "#router/peers/identity.js";
import type { PeerDirectory } from "#router/peers/peer-directory.js";
import { rekeyService } from "#router/peers/rekey-service.js";
import { connectedHosts, peerService, unconnectedAddresses } from "#router/peers/service.js";
import type { Probes } from "#router/probes/probes.js";
import { probeService } from "#router/probes/service.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import { systemClock } from "#src/clock.js";

/** The collaborators of the services; undefined: the feature is off. */
export interface ServicesDeps {
  readonly settings: RouterOptions;
  readonly context: Pick<StartContext, "log" | "problems">;
  readonly identity: Pick<Identity, "since">;
  readonly mesh: Mesh;
  readonly directory: Pick<PeerDirectory, "isKnown">;
  readonly datapath: Datapath;
  readonly carriers: Carriers;
  readonly kernelPath: KernelPath | undefined;
  readonly macs: Macs;
  readonly ipam: Ipam | undefined;
  readonly dns: WeaveDns | undefined;
  readonly docker: DockerSockets | undefined;
  readonly dockerIntegration: DockerIntegration | undefined;
  readonly exposure: Exposure;
  readonly attachments: Attachments;
  readonly cni: Cni;
  readonly events: Events;
  readonly probes: Probes;
  readonly logLinesLost: () => number;
  readonly unconfined: readonly string[];
}

/** The services, in the order of status. The generated page of the API lists the routes and metrics of all of them. */
export function servicesOf(deps: ServicesDeps): readonly Service[] {
  const { settings, mesh, datapath, ipam, dns, docker, dockerIntegration, exposure, attachments, cni } = deps;
  const rejections = () => ({ ...mesh.rejections, ...(ipam && { addresses: ipam.allocator.rejections }) });
  const inspect: InspectContainer | undefined = docker && ((text) => docker.engine.container(text));
  return [
    peerService({
      ...{ mesh, datapath, settings, rejections },
      since: () => deps.identity.since,
      isKnown: (who) => deps.directory.isKnown(who),
    }),
    rekeyService({ mesh, settings }),
    ...(ipam
      ? [
          addressService({
            ipam,
            requireRunning: dockerIntegration && ((ident) => dockerIntegration.requireRunning(ident)),
            unconnected: () => unconnectedAddresses(mesh),
            log: deps.context.log,
          }),
        ]
      : []),
    ...(dns ? [nameService(dns)] : []),
    ...(dockerIntegration ? [dockerService(dockerIntegration, { ipam, dns })] : []),
    exposureService({ exposure, connectedHosts: () => connectedHosts(mesh) }),
    attachmentService({ attachments, bridge: settings.bridge, inspect }),
    captureService({
      ...{ mesh, macs: deps.macs, bridge: settings.bridge, log: deps.context.log },
      inspect,
    }),
    cniService(cni),
    probeService(deps.probes),
    frameService(deps),
    kernelPathService(deps),
    eventService(deps.events, mesh),
    hostService(deps),
    ...(settings.pageAddr === ""
      ? []
      : [
          pageService({
            ...{ mesh, datapath, settings, rejections, ipam, dns },
            log: deps.context.log,
            problems: deps.context.problems,
            macs: deps.macs,
            clock: systemClock,
            docker: dockerIntegration && (() => dockerReportsOf(dockerIntegration, { ipam, dns })),
            attachments: async () => (await listAttachments(settings.bridge, [], inspect)).attachments,
          }),
        ]),
  ];
}
