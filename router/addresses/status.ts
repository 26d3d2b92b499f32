import { sizeOf } from "#ipam/ring/interval.js";
import type { Ipam } from "#router/addresses/ipam.js";
import type { IpamReport } from "#router/addresses/report.js";
import { statusLine } from "#router/service.js";

/** IPAM's paragraph of `weave status`. It has the oldest blocked request and the first problem of each kind. */
export function ipamStatusBlock(report: IpamReport): string {
  const [wait, contested, other] = [report.Waits[0], report.Contested[0], report.OtherRanges[0]];
  const [rejected] = report.Rejected;
  const [aside] = report.GivenTwice;
  return [
    statusLine("Service", "ipam"),
    statusLine("Status", report.Status),
    ...(wait ? [statusLine("Waiting", `for ${wait.For}`), statusLine("Next", wait.Next)] : []),
    ...(contested ? [statusLine("Contested", `${report.Contested.length} (${contested.Why})`)] : []),
    ...(other ? [statusLine("OtherRange", other.Why)] : []),
    ...(aside ? [statusLine("GivenTwice", aside.Why), statusLine("Next", aside.Next)] : []),
    ...(rejected ? [statusLine("NotUsed", `${rejected.Count} from ${rejected.Peer}: ${rejected.Reason}`)] : []),
    statusLine("Range", report.Range),
    statusLine("DefaultSubnet", report.DefaultSubnet),
  ].join("");
}

/**
 * The lines of `weave status ipam`: the owners of addresses, or the reason why there are none, then all problems.
 *
 * @param unconnected addresses of peers that this peer tries to connect to
 */
export function ipamLines(ipam: Ipam, report: IpamReport, unconnected: readonly string[]): string[] {
  return [...ownerLines(ipam, report), ...noOwnersReason(ipam, unconnected), ...troubleLines(report)];
}

/** A line for each owner of addresses, this peer first. */
function ownerLines({ allocator }: Ipam, report: IpamReport): string[] {
  const { self } = allocator;
  const total = Number(sizeOf(allocator.range));
  const shares = [...(allocator.ring?.shares() ?? [])].sort(([a], [b]) => Number(b === self) - Number(a === self));
  return shares.map(([peer, size]) => {
    const share = ((100 * Number(size)) / total).toFixed(1).padStart(4, "0");
    const info = peer === self ? `(${report.ActiveIPs} active)` : allocator.isReachable(peer) ? "" : "- unreachable!";
    return `${allocator.peerText(peer).padEnd(37)} ${String(size).padStart(8)} IPs (${share}% of total) ${info}`;
  });
}

/** The reason why no peer owns addresses; empty when there are owners. */
function noOwnersReason({ allocator }: Ipam, unconnected: readonly string[]): string[] {
  if (allocator.ring !== undefined) return [];
  const { awaited } = allocator;
  if (awaited === undefined)
    return [
      `idle: ${allocator.range.text} is divided among the peers when the first address is asked for ('weave attach', 'weave expose', 'weave prime')`,
    ];
  const peers = unconnected.length === 0 ? "" : ` Not connected: ${unconnected.join(", ")}.`;
  return [`waits for ${awaited.why}. ${awaited.next}${peers}`];
}

function troubleLines(report: IpamReport): string[] {
  return [
    ...report.Waits.map(
      ({ Subject, SinceSeconds, For, Next }) => `${Subject}: waits since ${SinceSeconds} s for ${For}. ${Next}`,
    ),
    ...report.Contested.map(({ Why, Next }) => `${Why}. ${Next}`),
    ...report.OtherRanges.map(({ Why, Next }) => `${Why}. ${Next}`),
    ...report.GivenTwice.map(({ Why, Next }) => `${Why}. ${Next}`),
    ...report.Rejected.map(
      ({ Peer, Reason, Count }) => `${Count} ${Count === 1 ? "message" : "messages"} from ${Peer} not used: ${Reason}`,
    ),
    ...(report.AgreementAwaited.length > 0
      ? [`addresses that were taken over are not handed out before the word of ${report.AgreementAwaited.join(", ")}`]
      : []),
  ];
}
