import type { DockerIntegration } from "#docker/docker.js";
import { driverNames } from "#docker/plugin/driver-names.js";

/** The proxy in the report, as Weave Net has it. */
export interface ProxyReport {
  readonly Addresses: readonly string[];
  /** Those of them that accept every client: see `--insecure-proxy`. */
  readonly Open: readonly string[];
}

/** The plugin in the report, as Weave Net has it. */
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

/** The Docker engine. */
export interface DockerReport {
  readonly Engine: string;
  /** API version agreed on; "" before the first answer. */
  readonly ApiVersion: string;
  readonly Containers: number | null;
  /** Why it does not answer; "" when it does. */
  readonly Problem: string;
  /** The engine's role in a swarm: manager, worker, or "". */
  readonly Swarm: string;
  /** Addresses that the IPAMs of engines on several hosts have allocated. */
  readonly Contested: readonly { readonly Address: string; readonly Peers: readonly string[] }[];
}

export interface DockerReports {
  readonly Docker: DockerReport;
  /** Absent when it is off; so is the next. */
  readonly Proxy?: ProxyReport;
  readonly Plugin?: PluginReport;
}

/** What the plugin's part of the report shows of other features. */
export interface PluginSettings {
  readonly dns: boolean;
  /** Where addresses come from; "" without IPAM. */
  readonly defaultSubnet: string;
}

export function dockerReports({ options, status }: DockerIntegration, settings: PluginSettings): DockerReports {
  const { engine, proxy, open, plugin, swarm, contested } = status;
  return {
    Docker: {
      Engine: options.api,
      ApiVersion: engine.api ?? "",
      Containers: engine.containers ?? null,
      Problem: engine.problem,
      Swarm: swarm ?? "",
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
              EnableV2: false,
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
