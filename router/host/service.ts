import { HostWatch, type HostWatchDeps } from "#router/host/host-watch.js";
import { NamespaceWatch } from "#router/host/namespace-watch.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";

/** Watches what the router made on this host, after a first look: containers may have left the bridge while no router ran. */
export async function watchHost(deps: HostWatchDeps & Pick<StartContext, "resources">): Promise<void> {
  const watch = new HostWatch(deps);
  deps.resources.add("host watch", () => watch.stop());
  await watch.look();
}

/** Watches the containers' network namespaces, after a first look. */
export async function watchNamespaces(
  lifecycles: readonly ContainerLifecycle[],
  { resources, log }: Pick<StartContext, "resources" | "log">,
): Promise<void> {
  const watch = new NamespaceWatch(lifecycles, log);
  resources.add("namespace watch", () => watch.stop());
  await watch.look();
}

/** The host, and the router as a process of it. @param logLinesLost since the start */
export function hostService(logLinesLost: () => number): Service {
  return {
    name: "host",
    metrics: () => [
      {
        name: "weave_log_lines_lost_total",
        help: "Lines of the log that could not be written.",
        type: "counter",
        read: logLinesLost,
      },
    ],
  };
}
