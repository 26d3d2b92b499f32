import { INSECURE } from "#docker/proxy/open-listeners.js";
import type { DockerReport, DockerReports, PluginReport, ProxyReport } from "#router/docker/report.js";
import { statusLine } from "#router/service.js";

/** The paragraphs of the proxy and of the plugin in `weave status`. Neither has a paragraph when it is off. */
export function dockerStatusBlocks({ Docker, Plugin, ...reports }: DockerReports): string[] {
  return [
    ...(reports.Proxy === undefined ? [] : [proxyStatusBlock(reports.Proxy) + engineLines(Docker, Plugin)]),
    ...(Plugin === undefined ? [] : [pluginStatusBlock(Plugin, Docker)]),
  ];
}

export function proxyStatusBlock({ Addresses, Open }: ProxyReport): string {
  const text = (address: string) =>
    Open.includes(address) ? `${address} (open to everyone who reaches it: ${INSECURE})` : address;
  return [statusLine("Service", "proxy"), ...Addresses.map((address) => statusLine("Address", text(address)))].join("");
}

/** Lines about the engine, where the plugin has no paragraph with them. */
function engineLines({ Product, Problem }: DockerReport, plugin: PluginReport | undefined): string {
  if (plugin !== undefined) return "";
  return [
    ...(Product === "" ? [] : [statusLine("Engine", Product)]),
    ...(Problem === "" ? [] : [statusLine("Problem", Problem.replaceAll("\n", " "))]),
  ].join("");
}

function pluginStatusBlock(
  { DriverName, Config }: PluginReport,
  { Problem, Swarm, Services, Contested }: DockerReport,
): string {
  const [contested] = Contested;
  const isManaged = Config.EnableV2;
  return [
    statusLine("Service", isManaged ? "plugin (v2)" : "plugin (legacy)"),
    // Docker names a managed plugin's driver as it was installed.
    ...(isManaged ? [] : [statusLine("DriverName", DriverName)]),
    ...(Problem === "" ? [] : [statusLine("Problem", Problem.replaceAll("\n", " "))]),
    ...(Swarm === ""
      ? []
      : [statusLine("Swarm", isManaged ? Swarm : `${Swarm} (networks of this plugin are local to each host)`)]),
    ...(Services === undefined || Swarm === "" ? [] : [statusLine("Services", servicesText(Services))]),
    ...(contested === undefined
      ? []
      : [
          statusLine(
            "Contested",
            `${Contested.length} (${contested.Address} is in use at ${contested.Peers.join(" and ")})`,
          ),
        ]),
  ].join("");
}

function servicesText({ Addresses, Tasks, Namespaces, Problem }: NonNullable<DockerReport["Services"]>): string {
  const text = `${count(Addresses, "address", "es")} of ${count(Tasks, "task")}, in ${count(Namespaces, "container")}`;
  return Problem === "" ? text : `${text} (${Problem.replaceAll("\n", " ")})`;
}

const count = (number: number, noun: string, ending = "s"): string => `${number} ${noun}${number === 1 ? "" : ending}`;
