import { PROTOCOL_MAX, PROTOCOL_MIN } from "#mesh/channel.js";
import type { Connection } from "#mesh/connection.js";
import type { AttemptStatus } from "#mesh/dial-schedule.js";
import { type PeerRecord, peerText } from "#mesh/peer.js";
import type { Refused } from "#mesh/refusals.js";
import { type IpamReport, ipamReport, ipamStatusWord } from "#router/addresses/report.js";
import { cipherText, offloadNames } from "#router/datapath/offloads.js";
import { type DockerReport, dockerReports, type PluginReport, type ProxyReport } from "#router/docker/report.js";
import { type DnsReport, dnsReport } from "#router/names/report.js";
import type { Router } from "#router/router.js";
import { macFromNumber } from "#src/mac.js";
import { VERSION } from "#src/version.js";

/** A connection, or an attempt at one, as status and report show it. */
export interface ConnectionReport {
  readonly Address: string;
  readonly Outbound: boolean;
  readonly State: string;
  readonly Info: string;
  readonly Attrs: Readonly<Record<string, unknown>> | null;
}

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

/** What the router knows of itself, under the original's names. */
export interface Report {
  readonly Ready: boolean;
  readonly Version: string;
  readonly VersionCheck: {
    readonly Enabled: boolean;
    readonly Success: boolean;
    readonly NewVersion: string;
    readonly NextCheckAt: string;
  };
  /** What is wrong on this host, a line each; empty when all is well. */
  readonly Problems: readonly string[];
  readonly Router: RouterReport;
  /** Absent when it is off; so is the next. */
  readonly DNS?: DnsReport;
  readonly IPAM?: IpamReport & { readonly Status: string };
  readonly Docker?: DockerReport;
  readonly Proxy?: ProxyReport;
  readonly Plugin?: PluginReport;
}

export interface RouterReport {
  readonly Protocol: string;
  readonly ProtocolMinVersion: number;
  readonly ProtocolMaxVersion: number;
  readonly Encryption: boolean;
  /** Peers have shown the password, beside their keys. */
  readonly PeersAuthenticated: boolean;
  readonly PeerDiscovery: boolean;
  readonly Name: string;
  readonly NickName: string;
  readonly Port: number;
  readonly Peers: readonly PeerReport[];
  readonly SuspendedPeers: readonly string[];
  readonly NameConflicts: readonly string[];
  readonly UnicastRoutes: readonly { Dest: string; Via: string }[];
  readonly BroadcastRoutes: readonly { Source: string; Via: readonly string[] | null }[];
  readonly Connections: readonly ConnectionReport[];
  readonly TerminationCount: number;
  readonly QuarantinedMessages: number;
  readonly Targets: readonly string[];
  readonly OverlayDiagnostics: { readonly sleeve: unknown; readonly fastdp: null };
  readonly TrustedSubnets: readonly string[];
  readonly Interface: string;
  readonly Datapath: {
    readonly Threads: number;
    readonly Offloads: readonly string[];
    /** What the kernel, the processor or an option denies: done in software. */
    readonly OffloadsOff: readonly string[];
    readonly Cipher: string;
  };
  readonly CaptureStats: Readonly<Record<string, number>>;
  readonly Drops: Readonly<Record<string, number>>;
  readonly MACs: readonly { Mac: string; Name: string; NickName: string; LastSeen: string }[];
}

const NO_PEER = "00:00:00:00:00:00";

/** @param withDatapath ask the datapath thread too: its counters and MAC table */
export async function makeReport(router: Router, withDatapath = true): Promise<Report> {
  const { ipam, dns, docker } = router;
  return {
    Ready: true,
    Version: VERSION,
    // Nothing is ever asked of anybody outside; the fields are there for scripts that read them.
    VersionCheck: { Enabled: false, Success: false, NewVersion: "", NextCheckAt: "" },
    Problems: router.problems.list(),
    Router: await makeRouterReport(router, withDatapath),
    ...(dns === undefined ? {} : { DNS: dnsReport(dns) }),
    ...(ipam === undefined ? {} : { IPAM: { ...ipamReport(ipam, performance.now()), Status: ipamStatusWord(ipam) } }),
    ...(docker === undefined ? {} : dockerReports(docker, ipam, dns)),
  };
}

/** Messages of peers that were set aside, and parts of them. */
export function quarantined({ mesh, dns }: Router): number {
  return mesh.status().quarantined + (dns?.names.rejected ?? 0);
}

/** The router's part alone: who asks often need not have all names sorted. */
export async function makeRouterReport(router: Router, withDatapath: boolean): Promise<RouterReport> {
  const { mesh, options, datapath } = router;
  const status = mesh.status();
  const nickOf = (name: string) => mesh.peer(name)?.nickname ?? "";
  const routes = mesh.frameRoutes;
  const frames = withDatapath ? await datapath.report() : undefined;
  const offloads = offloadNames(datapath.offloads);
  const now = Date.now();
  const peers = status.peers.map((record) => peerReport(record, nickOf));
  return {
    Protocol: "weave",
    ProtocolMinVersion: PROTOCOL_MIN,
    ProtocolMaxVersion: PROTOCOL_MAX,
    Encryption: options.encryption,
    PeersAuthenticated: options.password !== undefined,
    PeerDiscovery: options.discovery,
    Name: status.self.name,
    NickName: status.self.nickname,
    Port: options.port,
    Peers: peers,
    SuspendedPeers: status.suspended.map(peerText),
    NameConflicts: status.conflicts,
    UnicastRoutes: [
      { Dest: status.self.name, Via: NO_PEER },
      ...[...routes.unicasts()].map(([Dest, Via]) => ({ Dest, Via })),
    ],
    BroadcastRoutes: [...routes.sources()].map((Source) => {
      const Via = routes.flood(Source);
      return { Source, Via: Via.length > 0 ? Via : null };
    }),
    Connections: [
      ...status.connections.map(connectionReport),
      ...status.attempts.map((attempt) => attemptReport(attempt)),
      ...status.refused.map(refusedReport),
    ],
    TerminationCount: status.terminations,
    QuarantinedMessages: quarantined(router),
    Targets: status.targets.map(({ text }) => text),
    OverlayDiagnostics: { sleeve: sleeveDiagnostics(status.connections), fastdp: null },
    TrustedSubnets: options.trustedSubnets,
    Interface: `${options.bridge} (via TAP)`,
    Datapath: {
      Threads: datapath.threads,
      Offloads: offloads.on,
      OffloadsOff: offloads.off,
      Cipher: cipherText(datapath.offloads),
    },
    CaptureStats: { ...frames?.counters },
    Drops: { ...frames?.drops },
    MACs: (frames?.macs ?? []).map(({ mac, peer, idleMs }) => {
      const Name = macFromNumber(peer);
      return {
        Mac: macFromNumber(mac),
        Name,
        NickName: nickOf(Name),
        LastSeen: new Date(now - idleMs).toISOString(),
      };
    }),
  };
}

function peerReport(record: PeerRecord, nickOf: (name: string) => string): PeerReport {
  return {
    Name: record.name,
    NickName: record.nickname,
    UID: BigInt(`0x${record.uid}`),
    ShortID: 0,
    Version: record.version,
    Connections: record.links.map(({ to, address, outbound, established }) => ({
      Name: to,
      NickName: nickOf(to),
      Address: address,
      Outbound: outbound,
      Established: established,
    })),
  };
}

function connectionReport(connection: Connection): ConnectionReport {
  const overlay = connection.overlay?.name ?? "sleeve";
  const encryption = connection.encrypted ? "encrypted" : "unencrypted";
  return {
    Address: connection.wire.remoteAddress,
    Outbound: connection.outbound,
    State: connection.state,
    Info: `${encryption.padEnd(11)} ${overlay.padEnd(6)} ${peerText(connection.remote!)}`,
    Attrs: {
      name: overlay,
      ...connection.overlay?.attributes(),
      ...(connection.silent && { reason: '"the peer does not answer"' }),
    },
  };
}

/** The time of day of a moment on the clock that counts, which is monotonic. */
const timeText = (at: number): string => new Date(Date.now() + at - performance.now()).toISOString();

/** Others' attempts at us. */
function refusedReport({ address, text, count, at }: Refused): ConnectionReport {
  const times = count === 1 ? "once" : `${count} times`;
  return {
    Address: address,
    Outbound: false,
    State: "failed",
    Info: `${text}, refused ${times}, last: ${timeText(at)}`,
    Attrs: null,
  };
}

function attemptReport({ address, state, error, retryAt }: AttemptStatus): ConnectionReport {
  const at = Number.isFinite(retryAt) ? timeText(retryAt) : "never";
  const Info = state === "failed" ? `${error}, retry: ${at}` : state === "waiting" ? `until: ${at}` : (error ?? "");
  return { Address: address, Outbound: true, State: state, Info, Attrs: null };
}

function sleeveDiagnostics(connections: readonly Connection[]): unknown {
  const entries = connections.flatMap(({ remote, overlay }) => {
    const { carriers = [], keyEpoch } = overlay?.diagnostics() ?? {};
    const sleeve = carriers.find(({ name }) => name === "sleeve");
    if (sleeve === undefined) return [];
    return [{ Name: remote!.name, NickName: remote!.nickname, ...sleeve.figures, KeyEpoch: keyEpoch }];
  });
  return entries.length === 0 ? null : entries;
}
