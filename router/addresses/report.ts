import { subjectText } from "#ipam/allocation/wait-queue.js";
import { sizeOf } from "#ipam/ring/interval.js";
import { addressText } from "#ipam/ring/subnet.js";
import type { Ipam } from "#router/addresses/ipam.js";

/** IPAM as the report shows it: the original's fields, then ours. */
export interface IpamReport {
  readonly Paxos: { readonly Elector: boolean; readonly KnownNodes: number; readonly Quorum: number } | null;
  readonly Range: string;
  readonly RangeNumIPs: number;
  readonly ActiveIPs: number;
  readonly DefaultSubnet: string;
  readonly Entries:
    | readonly {
        readonly Token: string;
        readonly Size: number;
        readonly Peer: string;
        readonly Nickname: string;
        readonly IsKnownPeer: boolean;
        readonly Version: number;
        readonly Epoch: number;
        readonly Pending: boolean;
        readonly Cause: string;
      }[]
    | null;
  readonly PendingClaims: readonly { Ident: string; CIDR: { Addr: string; PrefixLen: number } }[] | null;
  readonly PendingAllocates: readonly string[] | null;
  /** What waits, for what, since when, and what ends it. */
  readonly Waits: readonly { Subject: string; SinceSeconds: number; For: string; Next: string }[];
  /** Addresses held here that belong to other peers. */
  readonly Contested: readonly { Address: string; Ident: string; Why: string; Next: string }[];
  /** Peers whose agreement to a take-over is awaited. */
  readonly AgreementAwaited: readonly string[];
  /** Peers that were launched with another range. */
  readonly OtherRanges: readonly { Why: string; Next: string }[];
}

const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length > 0 ? list : null);

export function ipamReport({ allocator, defaultSubnet, directory }: Ipam, now: number): IpamReport {
  const { ring, range, waiters, election, contested, takeover, otherRanges } = allocator;
  return {
    Paxos:
      election === undefined
        ? null
        : { Elector: election.elector, KnownNodes: election.known, Quorum: election.quorum },
    Range: range.text,
    RangeNumIPs: Number(sizeOf(range)),
    ActiveIPs: allocator.activeCount,
    DefaultSubnet: defaultSubnet.text,
    Entries:
      ring?.spans.map(({ start, end, value }) => ({
        Token: addressText(start),
        Size: Number(end - start),
        Peer: value.owner,
        Nickname: directory.nickname(value.owner) ?? "",
        IsKnownPeer: allocator.isReachable(value.owner),
        Version: value.version,
        Epoch: value.epoch,
        Pending: value.pending,
        Cause: value.cause,
      })) ?? null,
    PendingClaims: orNull(
      waiters
        .filter(({ kind }) => kind === "claim")
        .map(({ ident, subject }) => {
          const [Addr, prefix] = subject.split("/");
          return { Ident: ident, CIDR: { Addr, PrefixLen: Number(prefix) } };
        }),
    ),
    PendingAllocates: orNull(
      waiters.filter(({ kind }) => kind === "allocate").map(({ ident, subject }) => `${ident} ${subject}`),
    ),
    Waits: waiters.map((waiter) => {
      const { why, next } = waiter.reason();
      return {
        Subject: subjectText(waiter),
        SinceSeconds: Math.round((now - waiter.since) / 1_000),
        For: why,
        Next: next,
      };
    }),
    Contested: contested.map(({ address, ident, why, next }) => ({
      Address: address,
      Ident: ident,
      Why: why,
      Next: next,
    })),
    AgreementAwaited: (takeover?.waiting ?? []).map((peer) => allocator.peerText(peer)),
    OtherRanges: otherRanges.map(({ why, next }) => ({ Why: why, Next: next })),
  };
}

/** The word in `weave status`, as the original: the first that matches. */
export function ipamStatusWord({ allocator }: Ipam): string {
  const { ring, election, waiters } = allocator;
  if (ring !== undefined) {
    if (waiters.length === 0) return "ready";
    const others = [...ring.shares().keys()].filter((peer) => peer !== allocator.self);
    const away = others.length > 0 && others.every((peer) => !allocator.isReachable(peer));
    return away
      ? "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead"
      : "waiting for IP(s) to become available";
  }
  if (election === undefined) return "idle";
  return election.elector ? `awaiting consensus (quorum: ${election.quorum}, known: ${election.known})` : "priming";
}

/**
 * The text of `weave status ipam`: owners or why there are none, and then, where there is any, trouble.
 *
 * @param unconnected addresses of peers that this one tries to connect to
 */
export function ipamText(ipam: Ipam, report: IpamReport, unconnected: readonly string[]): string {
  const { allocator } = ipam;
  const { self } = allocator;
  const total = Number(sizeOf(allocator.range));
  const shares = [...(allocator.ring?.shares() ?? [])].sort(([a], [b]) => Number(b === self) - Number(a === self));
  const lines = shares.map(([peer, size]) => {
    const share = ((100 * Number(size)) / total).toFixed(1).padStart(4, "0");
    const info = peer === self ? `(${report.ActiveIPs} active)` : allocator.isReachable(peer) ? "" : "- unreachable!";
    return `${allocator.peerText(peer).padEnd(37)} ${String(size).padStart(8)} IPs (${share}% of total) ${info}`;
  });
  return [...lines, ...emptyReason(ipam, unconnected), ...troubleOf(report)].map((line) => `${line}\n`).join("");
}

/** Why nobody owns addresses yet. */
function emptyReason({ allocator }: Ipam, unconnected: readonly string[]): string[] {
  if (allocator.ring !== undefined) return [];
  const { awaited } = allocator;
  if (awaited === undefined)
    return [
      `idle: ${allocator.range.text} is divided among the peers when the first address is asked for ('weave attach', 'weave expose', 'weave prime')`,
    ];
  const peers = unconnected.length === 0 ? "" : ` Not connected: ${unconnected.join(", ")}.`;
  return [`waits for ${awaited.why}. ${awaited.next}${peers}`];
}

function troubleOf(report: IpamReport): string[] {
  return [
    ...report.Waits.map(
      ({ Subject, SinceSeconds, For, Next }) => `${Subject}: waits since ${SinceSeconds} s for ${For}. ${Next}`,
    ),
    ...report.Contested.map(({ Why, Next }) => `${Why}. ${Next}`),
    ...report.OtherRanges.map(({ Why, Next }) => `${Why}. ${Next}`),
    ...(report.AgreementAwaited.length > 0
      ? [`addresses that were taken over are not handed out before the word of ${report.AgreementAwaited.join(", ")}`]
      : []),
  ];
}
