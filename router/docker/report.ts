import type { Docker } from "#docker/docker.js";
import { driverNames } from "#docker/plugin/plugin.js";
import { INSECURE } from "#docker/proxy/exposure.js";
import type { Ipam } from "#router/addresses/ipam.js";
import { line } from "#router/api/text.js";
import type { WeaveDns } from "#router/names/weave-dns.js";

/** The proxy as the report shows it: as the original. */
export interface ProxyReport {
  readonly Addresses: readonly string[];
  /** Those of them that serve everyone who reaches them: see `--insecure-proxy`. */
  readonly Open: readonly string[];
}

/** The plugin as the report shows it: as the original. */
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

/** Docker itself, as far as we know it. */
export interface DockerReport {
  readonly Engine: string;
  /** API version agreed on; "" before there was an answer. */
  readonly ApiVersion: string;
  readonly Containers: number | null;
  /** Why it does not answer; "" when it does. */
  readonly Problem: string;
  /** What the engine is in a swarm: manager, worker, or "". */
  readonly Swarm: string;
  /** Addresses that engines' own IPAMs have given on several hosts. */
  readonly Contested: readonly { readonly Address: string; readonly Peers: readonly string[] }[];
}

export function dockerReports(
  { options, status }: Docker,
  ipam: Ipam | undefined,
  dns: WeaveDns | undefined,
): { Docker: DockerReport; Proxy?: ProxyReport; Plugin?: PluginReport } {
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
              DNS: dns !== undefined,
              DefaultSubnet: ipam?.defaultSubnet.text ?? "",
              ProcPath: "/proc",
            },
            DriverName: driverNames(options).network,
            MeshDriverName: driverNames(options).mesh,
          },
        }
      : {}),
  };
}

export function proxyText({ Addresses, Open }: ProxyReport): string {
  const text = (address: string) =>
    Open.includes(address) ? `${address} (open to everyone who reaches it: ${INSECURE})` : address;
  return [line("Service", "proxy"), ...Addresses.map((address) => line("Address", text(address)))].join("");
}

export function pluginText({ DriverName }: PluginReport, { Problem, Swarm, Contested }: DockerReport): string {
  const [contested] = Contested;
  return [
    line("Service", "plugin (legacy)"),
    line("DriverName", DriverName),
    ...(Problem === "" ? [] : [line("Problem", Problem.replaceAll("\n", " "))]),
    ...(Swarm === "" ? [] : [line("Swarm", `${Swarm} (networks of this plugin are local to each host)`)]),
    ...(contested === undefined
      ? []
      : [
          line("Contested", `${Contested.length} (${contested.Address} is in use at ${contested.Peers.join(" and ")})`),
        ]),
  ].join("");
}
