import { nameMetrics } from "#router/names/metrics.js";
import { dnsReport } from "#router/names/report.js";
import { nameRoutes } from "#router/names/routes.js";
import { dnsLines, dnsStatusBlock } from "#router/names/status.js";
import { WeaveDns, type WeaveDnsDeps } from "#router/names/weave-dns.js";
import { linesAnswer, statusRoute } from "#router/route.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";

/** Starts weaveDNS. The names of forgotten peers are removed. @throws WEAVE_PORT_IN_USE, WEAVE_STORE */
export async function startWeaveDns(
  deps: WeaveDnsDeps & Pick<StartContext, "events" | "resources">,
): Promise<WeaveDns> {
  const dns = await WeaveDns.start(deps);
  deps.resources.add("weaveDNS", () => dns.stop());
  deps.events.on("forgotten", (peer) => dns.names.forget(peer));
  return dns;
}

/** The names of containers (weaveDNS). */
export function nameService(dns: WeaveDns): Service {
  return {
    name: "names",
    routes: () => [statusRoute("/status/dns", () => linesAnswer(dnsLines(dnsReport(dns)))), ...nameRoutes(dns)],
    report: () => ({ DNS: dnsReport(dns) }),
    statusBlocks: () => [dnsStatusBlock(dnsReport(dns))],
    metrics: () => nameMetrics(dns),
  };
}
