import type { LeaseHolder } from "#ipam/allocation/lease-table.js";
import type { Allocator } from "#ipam/allocator.js";
import { contains, sizeOf } from "#ipam/ring/interval.js";
import type { Ownership, Span } from "#ipam/ring/ring.js";
import { addressText, intervalText, leaseText } from "#ipam/ring/subnet.js";
import type { PeerName } from "#mesh/peer.js";
import { ENDED_CONTAINER_GRACE_MS } from "#src/container-lifecycle.js";

/** Maximum number of listed spans of a peer; the remaining ones are counted. */
const SHOWN = 20;

/** Explains an address: its owner, how the owner got it and when, and its holder. @returns one line for each fact */
export function explainAddress(allocator: Allocator, address: bigint): string[] {
  const { ring, range, leases } = allocator;
  const text = addressText(address);
  const lines: string[] = [];
  if (!contains(range, address)) lines.push(`${text} is outside the range ${range.text}: weave does not allocate it`);
  else if (ring === undefined) lines.push(`${text} has no owner yet: ${range.text} is not divided`);
  else {
    const span = ring.at(address);
    lines.push(`${text} is in ${spanText(span)}`, ...historyOf(allocator, span.value));
    lines.push(reachText(allocator, span.value.owner));
  }
  const holder = leases.holderOf(address);
  if (holder !== undefined) {
    const lease = holder.leases.find((each) => each.address === address)!;
    lines.push(`held on this host by ${holder.ident} as ${leaseText(lease)}${endText(holder)}`);
  } else if (ring?.at(address).value.owner === undefined || allocator.space.owns(address)) {
    lines.push("it has no holder on this host");
  }
  for (const contested of allocator.contested)
    if (contested.address === text) lines.push(`${contested.why}: ${contested.next}`);
  return lines;
}

function endText({ endedAt, releaseDeferred }: LeaseHolder): string {
  if (endedAt === undefined) return "";
  if (releaseDeferred) return ", which has ended: it is kept until no interface has it";
  return `, which has ended: it is free again within ${ENDED_CONTAINER_GRACE_MS / 1_000} s`;
}

/** Explains the spans of a peer, and how the peer got them. @returns one line for each fact */
export function explainPeer(allocator: Allocator, peer: PeerName): string[] {
  const { ring, range } = allocator;
  const spans = ring?.ownedBy(peer) ?? [];
  const total = spans.reduce((sum, span) => sum + sizeOf(span), 0n);
  const share = ((100 * Number(total)) / Number(sizeOf(range))).toFixed(1);
  const lines = [`${allocator.peerText(peer)} owns ${total} IPs (${share}% of ${range.text}) in ${spans.length} parts`];
  lines.push(reachText(allocator, peer));
  for (const span of spans.slice(0, SHOWN))
    lines.push(`${spanText(span)}: ${historyOf(allocator, span.value).join("; ")}`);
  if (spans.length > SHOWN) lines.push(`and ${spans.length - SHOWN} more parts`);
  return lines;
}

function historyOf(allocator: Allocator, value: Ownership): string[] {
  const when = new Date(value.since * 1_000).toISOString().replace(".000", "");
  const owner = allocator.peerText(value.owner);
  const from = value.from === undefined ? "no peer" : allocator.peerText(value.from);
  const how: Record<Ownership["cause"], string> = {
    "first division": "by the first division of the range",
    donation: `donated by ${from} on request`,
    rmpeer: `taken over from ${from}, which an operator removed ('weave rmpeer')`,
    reset: `handed over by ${from}, which left the network ('weave reset')`,
    kept: `transferred by ${from}, because a container of the owner holds it`,
    tidied: "by joining neighbouring parts of its own",
  };
  return [
    `owned by ${owner} since ${when}, epoch ${value.epoch}, version ${value.version}`,
    how[value.cause],
    ...(value.pending ? ["not allocated yet: not all reachable peers have agreed to the takeover"] : []),
  ];
}

function reachText(allocator: Allocator, peer: PeerName): string {
  return allocator.isReachable(peer)
    ? `${allocator.peerText(peer)} is reachable`
    : `${allocator.peerText(peer)} is unreachable; if it is dead for good: 'weave rmpeer ${peer}'`;
}

const spanText = (span: Span): string => `${intervalText(span)} (${sizeOf(span)} IPs)`;
