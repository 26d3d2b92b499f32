import type { Report, RouterReport } from "#router/api/report.js";
import { line } from "#router/api/text.js";
import { pluginText, proxyText } from "#router/docker/report.js";

/** States in the order in which they are counted. */
const STATES = ["established", "pending", "retrying", "failed", "connecting"];

/** The text of `weave status`. */
export function statusText(report: Report): string {
  const version = line("Version", report.Version);
  const ipam = report.IPAM === undefined ? [] : [ipamText(report.IPAM)];
  const dns = report.DNS === undefined ? [] : [dnsText(report.DNS)];
  const proxy = report.Proxy === undefined ? [] : [proxyText(report.Proxy)];
  const { Docker, Plugin } = report;
  const plugin = Plugin === undefined || Docker === undefined ? [] : [pluginText(Plugin, Docker)];
  const problems = report.Problems.map((problem) => line("Problem", problem)).join("");
  return [version + problems, routerText(report.Router), ...ipam, ...dns, ...proxy, ...plugin].join("\n");
}

function dnsText({ Domain, Upstream, TTL, Entries, Problem }: NonNullable<Report["DNS"]>): string {
  return [
    line("Service", "dns"),
    ...(Problem === "" ? [] : [line("Problem", Problem.replaceAll("\n", " "))]),
    line("Domain", Domain),
    line("Upstream", Upstream.length > 0 ? Upstream.join(", ") : "none"),
    line("TTL", TTL),
    line("Entries", Entries.filter(({ Tombstone }) => Tombstone === 0).length),
  ].join("");
}

function ipamText({
  Status,
  Range,
  DefaultSubnet,
  Waits,
  Contested,
  OtherRanges,
}: NonNullable<Report["IPAM"]>): string {
  // In full they are under `status ipam`; here the oldest of each says that there is something.
  const [wait, contested, other] = [Waits[0], Contested[0], OtherRanges[0]];
  return [
    line("Service", "ipam"),
    line("Status", Status),
    ...(wait ? [line("Waiting", `for ${wait.For}`), line("Next", wait.Next)] : []),
    ...(contested ? [line("Contested", `${Contested.length} (${contested.Why})`)] : []),
    ...(other ? [line("OtherRange", other.Why)] : []),
    line("Range", Range),
    line("DefaultSubnet", DefaultSubnet),
  ].join("");
}

function routerText(router: RouterReport): string {
  const counts = STATES.map(
    (state) => [state, router.Connections.filter(({ State }) => State === state).length] as const,
  ).filter(([, count]) => count > 0);
  const links = router.Peers.flatMap(({ Connections }) => Connections);
  const established = links.filter(({ Established }) => Established).length;
  const peers = [
    established > 0 ? `${established} established` : "",
    links.length > established ? `${links.length - established} pending` : "",
  ].filter((part) => part !== "");
  const protocol =
    router.ProtocolMinVersion === router.ProtocolMaxVersion
      ? `${router.ProtocolMaxVersion}`
      : `${router.ProtocolMinVersion}..${router.ProtocolMaxVersion}`;
  return [
    line("Service", "router"),
    line("Protocol", `${router.Protocol} ${protocol}`),
    line("Name", `${router.Name}(${router.NickName})`),
    line("Encryption", encryptionText(router)),
    line("PeerDiscovery", router.PeerDiscovery ? "enabled" : "disabled"),
    line("Targets", router.Targets.length),
    line("Connections", router.Connections.length + bracket(counts.map(([state, count]) => `${count} ${state}`))),
    line("Peers", router.Peers.length + (peers.length > 0 ? ` (with ${peers.join(", ")} connections)` : "")),
    ...(router.SuspendedPeers.length > 0 ? [line("OutOfReach", router.SuspendedPeers.join(", "))] : []),
    ...router.NameConflicts.map((conflict) => line("NameConflict", conflict)),
    line("TrustedSubnets", router.TrustedSubnets.length > 0 ? router.TrustedSubnets.join(" ") : "none"),
    line("Threads", router.Datapath.Threads),
    line("Offloads", offloadsText(router.Datapath)),
    line("Cipher", router.Datapath.Cipher),
  ].join("");
}

function encryptionText({ Encryption, PeersAuthenticated }: RouterReport): string {
  if (!Encryption) return "disabled";
  return PeersAuthenticated ? "enabled" : "enabled (encrypted, peers not authenticated: no password)";
}

function offloadsText({ Offloads, OffloadsOff }: RouterReport["Datapath"]): string {
  const without = OffloadsOff.length > 0 ? `without ${OffloadsOff.join(", ")}` : "";
  return [Offloads.join(", ") || "none", without].filter((part) => part !== "").join("; ");
}

const bracket = (parts: readonly string[]): string => (parts.length > 0 ? ` (${parts.join(", ")})` : "");

export function targetsText({ Targets }: RouterReport): string {
  return Targets.map((target) => `${target}\n`).join("");
}

export function connectionsText({ Connections }: RouterReport): string {
  return Connections.map(({ Address, Outbound, State, Info, Attrs }) => {
    const attrs = Object.entries(Attrs ?? {})
      .filter(([key]) => key !== "name")
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}=${value}`)
      .join(" ");
    return `${arrow(Outbound)} ${Address.padEnd(21)} ${State.padEnd(11)} ${Info} ${attrs}\n`;
  }).join("");
}

export function peersText({ Peers }: RouterReport): string {
  return Peers.map((peer) => {
    const links = peer.Connections.map(
      ({ Outbound, Address, Name, NickName, Established }) =>
        `   ${arrow(Outbound)} ${Address.padEnd(21)} ${`${Name}(${NickName})`.padEnd(37)} ${Established ? "established" : "pending"}\n`,
    );
    return `${peer.Name}(${peer.NickName})\n${links.join("")}`;
  }).join("");
}

const arrow = (outbound: boolean): string => (outbound ? "->" : "<-");
