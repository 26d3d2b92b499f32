import { subjectText } from "#ipam/allocation/wait-queue.js";
import type { Allocator } from "#ipam/allocator.js";
import { sizeOf } from "#ipam/ring/interval.js";
import { addressText } from "#ipam/ring/subnet.js";
import type { Ipam } from "#router/addresses/ipam.js";

/** The section `IPAM` of the report: the fields of Weave Net, then further ones. */
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
  /** Blocked requests: the reason, the time since they are blocked, and the command that unblocks them. */
  readonly Waits: readonly { Subject: string; SinceSeconds: number; For: string; Next: string }[];
  /** Addresses in use on this host that belong to other peers. */
  readonly Contested: readonly { Address: string; Ident: string; Why: string; Next: string }[];
  /** Addresses that a peer has given to this one and to others, and that are not allocated here. */
  readonly GivenTwice: readonly { Why: string; Next: string }[];
  /** Peers whose agreement to a takeover is outstanding. */
  readonly AgreementAwaited: readonly string[];
  /** Peers that were launched with another range. */
  readonly OtherRanges: readonly { Why: string; Next: string }[];
  /** Data of other peers that is not used, by peer and reason. */
  readonly Rejected: readonly { Peer: string; Reason: string; Count: number }[];
  readonly Status: string;
}

const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length > 0 ? list : null);

/** Makes the report of IPAM. @param now the current time on the monotonic clock, in milliseconds */
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
    GivenTwice: allocator.givenTwice.map(({ why, next }) => ({ Why: why, Next: next })),
    AgreementAwaited: (takeover?.waiting ?? []).map((peer) => allocator.peerText(peer)),
    OtherRanges: otherRanges.map(({ why, next }) => ({ Why: why, Next: next })),
    Rejected: allocator.rejections.all.map(({ source, reason, count }) => ({
      Peer: allocator.peerText(source),
      Reason: reason,
      Count: count,
    })),
    Status: stateOf(allocator),
  };
}

/** The state of IPAM in one line, for `weave status`. */
function stateOf(allocator: Allocator): string {
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
