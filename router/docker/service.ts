import type { Docker, Surroundings } from "#docker/docker.js";
import type { Ipam } from "#router/addresses/ipam.js";
import { dockerReports, type PluginSettings } from "#router/docker/report.js";
import { dockerRoutes } from "#router/docker/routes.js";
import { dockerStatusBlocks } from "#router/docker/status.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import type { Service } from "#router/service.js";

export interface DockerServiceDeps extends Omit<Surroundings, "ipam" | "dns"> {
  /** Undefined when it is off; so is the next. */
  readonly ipam: Ipam | undefined;
  readonly dns: WeaveDns | undefined;
}

/** Begins to serve Docker and its clients: they have been waiting since the sockets were opened. */
export function startDocker(docker: Docker, deps: DockerServiceDeps): Service {
  const { ipam, dns } = deps;
  docker.start({
    ...deps,
    ipam: ipam && {
      requests: ipam.allocator.requests,
      range: ipam.allocator.range,
      defaultSubnet: ipam.defaultSubnet,
      takeLeft: (ident) => ipam.takeLeft(ident),
    },
    dns: dns && { names: dns.names, address: () => dns.recentHost() },
  });
  const settings: PluginSettings = { dns: dns !== undefined, defaultSubnet: ipam?.defaultSubnet.text ?? "" };
  const reports = () => dockerReports(docker, settings);
  return {
    name: "docker",
    routes: () => dockerRoutes(docker),
    report: reports,
    statusBlocks: () => dockerStatusBlocks(reports()),
  };
}
