import type { DockerDeps } from "#docker/deps.js";
import { DockerIntegration } from "#docker/docker.js";
import type { DockerSockets } from "#docker/sockets.js";
import type { Ipam } from "#router/addresses/ipam.js";
import type { Attachments } from "#router/attachments/attachments.js";
import { dockerMetrics } from "#router/docker/metrics.js";
import { type DockerReports, dockerReports } from "#router/docker/report.js";
import { dockerRoutes } from "#router/docker/routes.js";
import { dockerStatusBlocks } from "#router/docker/status.js";
import type { RouterEmitter } from "#router/events.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import { SwarmTargets } from "#router/peers/swarm-targets.js";
import type { Service } from "#router/service.js";
import { findNetns } from "#src/linux/netns/netns.js";

export interface DockerServiceDeps
  extends Omit<DockerDeps, "ipam" | "dns" | "attachments" | "connectManagers" | "onRoutes"> {
  readonly events: RouterEmitter;
  /** TCP port of a peer. */
  readonly port: number;
  /** Undefined when IPAM is off. */
  readonly ipam: Ipam | undefined;
  /** Undefined when weaveDNS is off. */
  readonly dns: WeaveDns | undefined;
  readonly attachments: Attachments;
}

/** Starts to serve Docker and its clients. They have been waiting since the sockets were opened. */
export function startDocker(sockets: DockerSockets, deps: DockerServiceDeps): DockerIntegration {
  const { ipam, dns, attachments, mesh, port } = deps;
  const swarm = new SwarmTargets(mesh, port, sockets.log);
  return DockerIntegration.start(sockets, {
    ...deps,
    ipam: ipam && {
      requests: ipam.allocator.requests,
      range: ipam.allocator.range,
      defaultSubnet: ipam.defaultSubnet,
      takePreviousNetns: (ident) => ipam.takePreviousNetns(ident),
    },
    dns: dns && { names: dns.names, address: () => dns.recentHost(), useSubnets: (source) => dns.useSubnets(source) },
    onRoutes: (run) => void deps.events.on("routes", run),
    connectManagers: (hosts) => swarm.update(hosts),
    attachments: {
      attach: async (request) => attachments.attach({ ...request, netns: findNetns(String(request.pid)) }),
    },
  });
}

/** The sections of the report about Docker. */
export const dockerReportsOf = (
  docker: DockerIntegration,
  { ipam, dns }: Pick<DockerServiceDeps, "ipam" | "dns">,
): DockerReports => dockerReports(docker, { dns: dns !== undefined, defaultSubnet: ipam?.defaultSubnet.text ?? "" });

/** The Docker integration: proxy and plugin. */
export function dockerService(
  docker: DockerIntegration,
  { ipam, dns }: Pick<DockerServiceDeps, "ipam" | "dns">,
): Service {
  const reports = () => dockerReportsOf(docker, { ipam, dns });
  return {
    name: "docker",
    routes: () => dockerRoutes(docker),
    report: reports,
    statusBlocks: () => dockerStatusBlocks(reports()),
    metrics: () => dockerMetrics(docker),
  };
}
