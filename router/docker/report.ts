import type { DockerIntegration } from "#docker/docker.js";
import { driverNames } from "#docker/plugin/driver-names.js";

/** The proxy in the report, with the fields of Weave Net. */
export interface ProxyReport {
  readonly Addresses: readonly string[];
  /** The addresses that accept every client: see `--insecure-proxy`. */
  readonly Open: readonly string[];
}

/** The plugin in the report, with the fields of Weave Net. */
export interface PluginReport {
  readonly Config: {
    readonly Socket: string;
    readonly MeshSocket: string;
    readonly Enable: boolean;
    readonly EnableV2: boolean;
    readonly EnableV2Multicast: boolean;
    readonly DNS: boolean;
    readonly DefaultSubnet: string;
    readonly ProcPath: string;
  };
  readonly DriverName: string;
  readonly MeshDriverName: string;
}

/** The Docker engine in the report. */
export interface DockerReport {
  readonly Engine: string;
  /** The negotiated API version; "" before the engine's first answer. */
  readonly ApiVersion: string;
  /** Name and version, such as "podman 4.3.1"; "" before the engine's first answer. */
  readonly Product: string;
  readonly Containers: number | null;
  /** The reason why the engine does not answer; "" when it does. */
  readonly Problem: string;
  /** The engine's role in a swarm: manager, worker, or "". */
  readonly Swarm: string;
  /** Addresses of a swarm's services in the containers of this host; absent where the plugin is not a managed one. */
  readonly Services?: {
    readonly Addresses: number;
    /** Tasks that these addresses lead to. */
    readonly Tasks: number;
    /** Network namespaces that have the rules. */
    readonly Namespaces: number;
    readonly Changes: number;
    readonly Failures: number;
    /** Time of the last change in milliseconds. */
    readonly LastMs: number;
    /** Why the rules of a namespace are not right; "" when all are. */
    readonly Problem: string;
  };
  /** Addresses that the engines of several hosts have allocated, each with its own IPAM. */
  readonly Contested: readonly { readonly Address: string; readonly Peers: readonly string[] }[];
}

/** The sections of the report for Docker, the proxy and the plugin. */
export interface DockerReports {
  readonly Docker: DockerReport;
  /** Absent when the proxy is off. */
  readonly Proxy?: ProxyReport;
  /** Absent when the plugin is off. */
  readonly Plugin?: PluginReport;
}

/** Settings of other services that the plugin's section of the report shows. */
export interface PluginSettings {
  readonly dns: boolean;
  /** The default subnet of IPAM; "" without IPAM. */
  readonly defaultSubnet: string;
}

function servicesReport(status: NonNullable<DockerIntegration["status"]["services"]>): DockerReport["Services"] {
  const { addresses, tasks, namespaces, changes, failures, lastMs, problem } = status;
  return {
    Addresses: addresses,
    Tasks: tasks,
    Namespaces: namespaces,
    Changes: changes,
    Failures: failures,
    LastMs: Math.round(lastMs * 10) / 10,
    Problem: problem,
  };
}

export function dockerReports({ options, status }: DockerIntegration, settings: PluginSettings): DockerReports {
  const { engine, proxy, open, plugin, swarm, services, contested } = status;
  return {
    Docker: {
      Engine: options.api,
      ApiVersion: engine.api ?? "",
      Product: engine.product,
      Containers: engine.containers ?? null,
      Problem: engine.problem,
      Swarm: swarm ?? "",
      ...(services === undefined ? {} : { Services: servicesReport(services) }),
      Contested: contested.map(({ address, peers }) => ({ Address: address, Peers: peers })),
    },
    ...(proxy === undefined ? {} : { Proxy: { Addresses: proxy, Open: open } }),
    ...(plugin
      ? {
          Plugin: {
            Config: {
              Socket: options.pluginSocket,
              MeshSocket: options.meshSocket,
              Enable: true,
              EnableV2: options.pluginV2,
              EnableV2Multicast: false,
              DNS: settings.dns,
              DefaultSubnet: settings.defaultSubnet,
              ProcPath: "/proc",
            },
            DriverName: driverNames(options).network,
            MeshDriverName: driverNames(options).mesh,
          },
        }
      : {}),
  };
}
