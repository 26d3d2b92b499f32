import type { Mesh } from "#mesh/mesh.js";
import { connectionLines } from "#router/peers/connection-report.js";
import { peerMetrics } from "#router/peers/metrics.js";
import { type RouterReportDeps, routerReport, routerSummary } from "#router/peers/report.js";
import { peerRoutes } from "#router/peers/routes.js";
import { peerLines, routerStatusBlock } from "#router/peers/status.js";
import { type TrustRoutesDeps, trustRoutes } from "#router/peers/trust-routes.js";
import { linesAnswer, statusRoute } from "#router/route.js";
import type { Service } from "#router/service.js";
import { hostOf } from "#src/net/host-port.js";

/** The mesh of peers: targets, connections, topology. */
export function peerService(deps: RouterReportDeps & Omit<TrustRoutesDeps, "mesh" | "password">): Service {
  const { mesh, settings, rejections } = deps;
  return {
    name: "peers",
    routes: () => [
      statusRoute("/status/targets", () => linesAnswer(routerSummary(deps).Targets)),
      statusRoute("/status/connections", () => linesAnswer(connectionLines(routerSummary(deps)))),
      statusRoute("/status/peers", () => linesAnswer(peerLines(routerSummary(deps)))),
      ...peerRoutes(mesh, settings.port),
      ...trustRoutes({ ...deps, password: () => mesh.secrets.required }),
    ],
    report: async () => ({ Router: await routerReport(deps) }),
    statusBlocks: () => [routerStatusBlock(routerSummary(deps))],
    metrics: () => peerMetrics(mesh, rejections),
  };
}

/** Addresses of peers that this peer tries to connect to. */
export const unconnectedAddresses = (mesh: Mesh): string[] => mesh.status().attempts.map(({ address }) => address);

/** Addresses of the hosts that this host is connected to. */
export const connectedHosts = (mesh: Mesh): string[] =>
  mesh.status().connections.map(({ wire }) => hostOf(wire.remoteAddress));
