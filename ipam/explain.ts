import type { Allocator } from "#ipam/allocator.js";
import { contains, sizeOf } from "#ipam/ring/interval.js";
import type { Ownership, Span } from "#ipam/ring/ring.js";
import { addressText, intervalText, leaseText } from "#ipam/ring/subnet.js";
import type { PeerName } from "#mesh/peer.js";

/** Lines of a peer's history that are shown; the rest is counted. */
const SHOWN = 20;

/** Who owns and holds an address, since when, and how that came: one line a step. */
export function explainAddress(allocator: Allocator, address: bigint): string[] {
  const { ring, range, leases } = allocator;
  const text = addressText(address);
  const lines: string[] = [];
  if (!contains(range, address)) lines.push(`${text} is outside the range ${range.text}: weave does not hand it out`);
  else if (ring === undefined) lines.push(`${text} belongs to nobody yet: ${range.text} is not divided`);
  else {
    const span = ring.at(address);
    lines.push(`${text} is in ${spanText(span)}`, ...historyOf(allocator, span.value));
    lines.push(reachText(allocator, span.value.owner));
  }
  const holder = leases.holderOf(address);
  if (holder !== undefined) {
    const lease = holder.leases.find((each) => each.address === address)!;
    const dead = holder.died === undefined ? "" : ", which has died: it is free again within 30 s";
    lines.push(`held on this host by ${holder.ident} as ${leaseText(lease)}${dead}`);
  } else if (ring?.at(address).value.owner === undefined || allocator.space.owns(address)) {
    lines.push("held by nobody on this host");
  }
  for (const contested of allocator.contested)
    if (contested.address === text) lines.push(`${contested.why}: ${contested.next}`);
  return lines;
}

/** What a peer owns, and how it came to it. */
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
  const from = value.from === undefined ? "nobody" : allocator.peerText(value.from);
  const how: Record<Ownership["cause"], string> = {
    "first division": "by the first division of the range",
    donation: `given by ${from}, when asked for space`,
    rmpeer: `taken over from ${from}, which an operator removed ('weave rmpeer')`,
    reset: `handed over by ${from}, which left the network ('weave reset')`,
    kept: `left by ${from}, because a container there holds it`,
    tidied: "by joining neighbouring parts of its own",
  };
  return [
    `owned by ${owner} since ${when}, epoch ${value.epoch}, version ${value.version}`,
    how[value.cause],
    ...(value.pending ? ["not handed out yet: not all peers within reach have agreed"] : []),
  ];
}

function reachText(allocator: Allocator, peer: PeerName): string {
  return allocator.isReachable(peer)
    ? `${allocator.peerText(peer)} is within reach`
    : `${allocator.peerText(peer)} is out of reach; if it is dead for good: 'weave rmpeer ${peer}'`;
}

const spanText = (span: Span): string => `${intervalText(span)} (${sizeOf(span)} IPs)`;
