import { arrow } from "#router/peers/connection-report.js";
import type { RouterReport } from "#router/peers/report.js";
import { statusLine } from "#router/service.js";
import { ADDRESS_PORT_WIDTH } from "#src/net/family.js";

/** States of connections, in the order of the line `Connections`. */
const STATES = ["established", "pending", "retrying", "failed", "connecting"];

/** The router's paragraph of `weave status`. */
export function routerStatusBlock(router: RouterReport): string {
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
    statusLine("Service", "router"),
    statusLine("Protocol", `${router.Protocol} ${protocol}`),
    statusLine("Name", `${router.Name}(${router.NickName})`),
    statusLine("Fingerprint", router.Fingerprint),
    statusLine("Encryption", encryptionText(router)),
    ...(router.PasswordWeakness === null ? [] : [statusLine("Password", router.PasswordWeakness)]),
    ...wrongPasswordLines(router),
    statusLine("PeerDiscovery", router.PeerDiscovery ? "enabled" : "disabled"),
    statusLine("Targets", router.Targets.length),
    statusLine("Connections", router.Connections.length + bracket(counts.map(([state, count]) => `${count} ${state}`))),
    statusLine("Peers", router.Peers.length + (peers.length > 0 ? ` (with ${peers.join(", ")} connections)` : "")),
    ...(router.SuspendedPeers.length > 0 ? [statusLine("OutOfReach", router.SuspendedPeers.join(", "))] : []),
    ...(router.ExcludedPeers.length > 0 ? [statusLine("Excluded", router.ExcludedPeers.join(", "))] : []),
    ...router.NameConflicts.map((conflict) => statusLine("NameConflict", conflict)),
    ...router.SlowedNeighbours.map((neighbour) => statusLine("SlowedPeer", neighbour)),
    ...router.RejectedFrom.map((neighbour) => statusLine("RejectedFrom", neighbour)),
    ...router.Equivocations.map((origin) => statusLine("Equivocation", origin)),
    statusLine("TrustedSubnets", router.TrustedSubnets.length > 0 ? router.TrustedSubnets.join(" ") : "none"),
    statusLine("Threads", router.Datapath.Threads),
    statusLine("Offloads", offloadsText(router.Datapath)),
    statusLine("Cipher", router.Datapath.Cipher),
  ].join("");
}

function encryptionText({ Encryption, PeersAuthenticated }: RouterReport): string {
  if (!Encryption) return "disabled";
  return PeersAuthenticated ? "enabled" : "enabled (encrypted, peers not authenticated: no password)";
}

/** Sources of wrong passwords that have a line each; the others are one line. */
const SOURCES_SHOWN = 3;

function wrongPasswordLines({ WrongPasswords }: RouterReport): string[] {
  const sources = [...WrongPasswords].sort((a, b) => b.Count - a.Count);
  const others = sources.slice(SOURCES_SHOWN);
  const lines = sources
    .slice(0, SOURCES_SHOWN)
    .map(({ Source, Count, Since }) => `${Count} from ${Source} since ${Since}`);
  if (others.length > 0)
    lines.push(`${others.reduce((sum, { Count }) => sum + Count, 0)} from ${others.length} other addresses`);
  return lines.map((line) => statusLine("WrongPasswords", line));
}

function offloadsText({ Offloads, OffloadsOff }: RouterReport["Datapath"]): string {
  const without = OffloadsOff.length > 0 ? `without ${OffloadsOff.join(", ")}` : "";
  return [Offloads.join(", ") || "none", without].filter((part) => part !== "").join("; ");
}

const bracket = (parts: readonly string[]): string => (parts.length > 0 ? ` (${parts.join(", ")})` : "");

/** The lines of `weave status peers`. */
export function peerLines({ Peers }: RouterReport): string[] {
  return Peers.flatMap((peer) => [
    `${peer.Name}(${peer.NickName})`,
    ...peer.Connections.map(
      ({ Outbound, Address, Name, NickName, Established }) =>
        `   ${arrow(Outbound)} ${Address.padEnd(ADDRESS_PORT_WIDTH)} ${`${Name}(${NickName})`.padEnd(37)} ${Established ? "established" : "pending"}`,
    ),
  ]);
}
