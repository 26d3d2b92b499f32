import type { DockerIntegration } from "#docker/docker.js";
import type { Metric } from "#router/service.js";

/** The metrics of service addresses: 0 where the plugin is not a managed one. */
export function dockerMetrics(docker: Pick<DockerIntegration, "status">): Metric[] {
  const services = () => docker.status.services;
  return [
    {
      name: "weave_service_addresses",
      help: "Number of addresses of swarm services that containers of this host can reach.",
      type: "gauge",
      read: () => services()?.addresses ?? 0,
    },
    {
      name: "weave_service_tasks",
      help: "Number of tasks that get new connections to these addresses.",
      type: "gauge",
      read: () => services()?.tasks ?? 0,
    },
    {
      name: "weave_service_rule_changes_total",
      help: "Number of changes of the rules of service addresses in namespaces of containers.",
      type: "counter",
      read: () => services()?.changes ?? 0,
    },
    {
      name: "weave_service_rule_failures_total",
      help: "Number of changes of these rules that failed and were tried again.",
      type: "counter",
      read: () => services()?.failures ?? 0,
    },
  ];
}
