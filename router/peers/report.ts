import type { Connection } from "#mesh/connection/connection.js";
import type { SlowedNeighbour } from "#mesh/connection/neighbour-budget.js";
import { PROTOCOL_MAX, PROTOCOL_MIN } from "#mesh/handshake/format.js";
import type { Mesh } from "#mesh/mesh.js";
import { type PeerName, type PeerRecord, peerText } from "#mesh/peer.js";
import { fingerprint } from "#mesh/trust/fingerprint.js";
import type { Datapath } from "#router/datapath/datapath.js";
import { NO_CLAIMS } from "#router/frames/claims.js";
import { datapathSettings, type FrameReport, frameReport } from "#router/frames/report.js";
import { type ConnectionReport, connectionReports, timeText } from "#router/peers/connection-report.js";
import type { RejectionSources } from "#router/peers/metrics.js";
import { passwordWeakness } from "#router/peers/password-strength.js";
import { type ReplicaReport, replicaReport } from "#router/peers/replica-report.js";
import { excludedPeers } from "#router/peers/trust-report.js";
import type { Cidr } from "#src/address.js";

export interface PeerReport {
  readonly Name: string;
  readonly NickName: string;
  readonly UID: bigint;
  readonly ShortID: number;
  readonly Version: number;
  readonly Connections: readonly {
    Name: string;
    NickName: string;
    Address: string;
    Outbound: boolean;
    Established: boolean;
  }[];
}

/** The section `Router` of the report, with the field names of Weave Net. */
export interface RouterReport extends FrameReport, ReplicaReport {
  readonly Protocol: string;
  readonly ProtocolMinVersion: number;
  readonly ProtocolMaxVersion: number;
  readonly Encryption: boolean;
  /** True: peers prove knowledge of the password. */
  readonly PeersAuthenticated: boolean;
  /** What is wrong with the password; null: nothing, or there is none. */
  readonly PasswordWeakness: string | null;
  /** Wrong passwords of inbound connections, by source; ISO 8601 times. */
  readonly WrongPasswords: readonly { Source: string; Count: number; Since: string; Last: string }[];
  readonly PeerDiscovery: boolean;
  readonly Name: string;
  readonly NickName: string;
  readonly Port: number;
  readonly Peers: readonly PeerReport[];
  readonly SuspendedPeers: readonly string[];
  readonly NameConflicts: readonly string[];
  /** This peer's identity for people to compare; `weave identity` has more. */
  readonly Fingerprint: string;
  /** Number of names that belong to an identity here; `weave trust` lists them. */
  readonly PinnedPeers: number;
  readonly ExcludedPeers: readonly string[];
  /** The neighbours whose messages took more than their share of time. */
  readonly SlowedNeighbours: readonly string[];
  readonly UnicastRoutes: readonly { Dest: string; Via: string }[];
  readonly BroadcastRoutes: readonly { Source: string; Via: readonly string[] | null }[];
  readonly Connections: readonly ConnectionReport[];
  readonly TerminationCount: number;
  readonly QuarantinedMessages: number;
  readonly Targets: readonly string[];
  readonly OverlayDiagnostics: { readonly sleeve: unknown; readonly fastdp: unknown };
  readonly TrustedSubnets: readonly string[];
  readonly Interface: string;
}

const NO_PEER = "00:00:00:00:00:00";

export interface RouterReportDeps {
  readonly mesh: Mesh;
  readonly datapath: Datapath;
  readonly settings: RouterSettings;
  /** What all services have rejected: a valid message of a peer may have invalid contents. */
  readonly rejections: RejectionSources;
}

/** Options that the report shows unchanged. */
export interface RouterSettings {
  readonly port: number;
  readonly bridge: string;
  readonly encryption: boolean;
  readonly password: string | undefined;
  readonly discovery: boolean;
  readonly trustedSubnets: readonly Cidr[];
}

/** The complete report, with the counters and MAC tables of the frame threads. */
export async function routerReport(deps: RouterReportDeps): Promise<RouterReport> {
  const frames = await frameReport(deps.datapath, (peer) => nicknameOf(deps.mesh, peer));
  return { ...routerSummary(deps), ...frames };
}

/** What is weak about the password in force, as far as it is known here: of a later one than the launch's only the derived secret is. */
function weaknessInForce(mesh: Mesh, launched: string | undefined): string | null {
  if (launched === undefined || mesh.rekey.status().launchedAs === "replaced") return null;
  return passwordWeakness(launched) ?? null;
}

/** The report without the counters and MAC tables of the frame threads. */
export function routerSummary({ mesh, datapath, settings, rejections }: RouterReportDeps): RouterReport {
  const status = mesh.status();
  const { frameRoutes } = mesh;
  return {
    Protocol: "weave",
    ProtocolMinVersion: PROTOCOL_MIN,
    ProtocolMaxVersion: PROTOCOL_MAX,
    Encryption: settings.encryption,
    PeersAuthenticated: mesh.secrets.required,
    PasswordWeakness: weaknessInForce(mesh, settings.password),
    WrongPasswords: status.wrongPasswords.sources.map(({ source, count, since, last }) => ({
      Source: source,
      Count: count,
      Since: timeText(since),
      Last: timeText(last),
    })),
    PeerDiscovery: settings.discovery,
    Name: status.self.name,
    NickName: status.self.nickname,
    Port: settings.port,
    Peers: status.peers.map((record) => peerReport(record, mesh)),
    SuspendedPeers: status.suspended.map(peerText),
    NameConflicts: status.conflicts,
    Fingerprint: fingerprint(status.self.identity),
    PinnedPeers: mesh.trust.size,
    ExcludedPeers: excludedPeers(mesh),
    SlowedNeighbours: status.slowed.map((each) => slowedText(each, mesh)),
    ...replicaReport(mesh),
    UnicastRoutes: [
      { Dest: status.self.name, Via: NO_PEER },
      ...[...frameRoutes.unicasts()].map(([Dest, Via]) => ({ Dest, Via })),
    ],
    BroadcastRoutes: [...frameRoutes.sources()].map((Source) => {
      const Via = frameRoutes.flood(Source);
      return { Source, Via: Via.length > 0 ? Via : null };
    }),
    Connections: connectionReports(status),
    TerminationCount: status.terminations,
    QuarantinedMessages: Object.values(rejections()).reduce((sum, { total }) => sum + total, 0),
    Targets: status.targets.map(({ text }) => text),
    OverlayDiagnostics: {
      sleeve: figuresOf("sleeve", status.connections),
      fastdp: figuresOf("fastdp", status.connections),
    },
    TrustedSubnets: settings.trustedSubnets.map(({ text }) => text),
    Interface: `${settings.bridge} (via TAP)`,
    Datapath: datapathSettings(datapath),
    CaptureStats: {},
    Drops: {},
    MACs: [],
    FrameClaims: NO_CLAIMS,
  };
}

const nicknameOf = (mesh: Mesh, peer: PeerName): string => mesh.peer(peer)?.nickname ?? "";

function slowedText({ peer, slowed, pausedMs, usedMs }: SlowedNeighbour, mesh: Mesh): string {
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
  const when = slowed ? "now" : "earlier";
  return `${peerText({ name: peer, nickname: nicknameOf(mesh, peer) })} (${when}): its messages took ${seconds(usedMs)} of CPU time, it was not read for ${seconds(pausedMs)}`;
}

function peerReport(record: PeerRecord, mesh: Mesh): PeerReport {
  return {
    Name: record.name,
    NickName: record.nickname,
    UID: BigInt(`0x${record.uid}`),
    ShortID: 0,
    Version: record.version,
    Connections: record.links.map(({ to, address, outbound, established }) => ({
      Name: to,
      NickName: nicknameOf(mesh, to),
      Address: address,
      Outbound: outbound,
      Established: established,
    })),
  };
}

function figuresOf(carrier: string, connections: readonly Connection[]): unknown {
  const entries = connections.flatMap(({ remote, overlay }) => {
    const { carriers = [], keyEpoch } = overlay?.diagnostics() ?? {};
    const found = carriers.find(({ name }) => name === carrier);
    if (found === undefined) return [];
    return [{ Name: remote!.name, NickName: remote!.nickname, ...found.figures, KeyEpoch: keyEpoch }];
  });
  return entries.length === 0 ? null : entries;
}
