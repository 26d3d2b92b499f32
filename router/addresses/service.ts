import { Ipam, type IpamDeps } from "#router/addresses/ipam.js";
import { addressMetrics } from "#router/addresses/metrics.js";
import { ipamReport } from "#router/addresses/report.js";
import { type AddressRoutesDeps, addressRoutes } from "#router/addresses/routes.js";
import { ipamLines, ipamStatusBlock } from "#router/addresses/status.js";
import { linesAnswer, statusRoute } from "#router/route.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";

/** Starts address allocation. @throws WEAVE_STORE */
export function startIpam(deps: IpamDeps & Pick<StartContext, "resources">): Ipam {
  const ipam = new Ipam(deps);
  deps.resources.add("IPAM", () => ipam.stop());
  return ipam;
}

export interface AddressServiceDeps extends AddressRoutesDeps {
  /** Addresses of peers that this peer tries to connect to. */
  readonly unconnected: () => readonly string[];
}

/** Address allocation (IPAM). */
export function addressService(deps: AddressServiceDeps): Service {
  const { ipam, unconnected } = deps;
  const report = () => ipamReport(ipam, performance.now());
  return {
    name: "addresses",
    routes: () => [
      statusRoute("/status/ipam", () => linesAnswer(ipamLines(ipam, report(), unconnected()))),
      ...addressRoutes(deps),
    ],
    report: () => ({ IPAM: report() }),
    statusBlocks: () => [ipamStatusBlock(report())],
    metrics: () => addressMetrics(ipam.allocator),
  };
}
