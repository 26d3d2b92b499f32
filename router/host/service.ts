import type { BusyHolders } from "#router/attachments/busy-holders.js";
import { confinement, confinementLine } from "#router/host/confinement.js";
import { HostWatch, type HostWatchDeps } from "#router/host/host-watch.js";
import { NamespaceWatch } from "#router/host/namespace-watch.js";
import { processMetrics } from "#router/host/process-metrics.js";
import { type Service, statusLine } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";

/** Starts to watch the links of this host. The first check reattaches containers that left the bridge while no router ran. */
export async function watchHost(deps: HostWatchDeps & Pick<StartContext, "resources">): Promise<void> {
  const watch = new HostWatch(deps);
  deps.resources.add("host watch", () => watch.stop());
  await watch.look();
}

/** Starts to watch the containers' network namespaces, and checks them once. */
export async function watchNamespaces(
  lifecycles: readonly ContainerLifecycle[],
  busy: BusyHolders,
  { resources, log }: Pick<StartContext, "resources" | "log">,
): Promise<void> {
  const watch = new NamespaceWatch(lifecycles, busy, log);
  resources.add("namespace watch", () => watch.stop());
  await watch.look();
}

export interface HostServiceDeps {
  /** Number of lost log lines since the start. */
  readonly logLinesLost: () => number;
  /** What the kernel refused to take from this process, in words. */
  readonly unconfined: readonly string[];
  readonly context: Pick<StartContext, "problems">;
}

/** What the kernel lets the router process do, and its metrics. */
export function hostService({ logLinesLost, unconfined, context }: HostServiceDeps): Service {
  return {
    name: "host",
    report: () => ({ Confinement: confinement(unconfined) }),
    statusBlocks: () => [statusLine("Service", "host") + confinementLine(confinement(unconfined))],
    metrics: () => [
      ...processMetrics(),
      {
        name: "weave_problems",
        help: "Number of problems that the router cannot repair by itself, which weave status shows.",
        type: "gauge",
        read: () => context.problems.list().length,
      },
      {
        name: "weave_log_lines_lost_total",
        help: "Lines of the log that could not be written.",
        type: "counter",
        read: logLinesLost,
      },
    ],
  };
}
