import type { PeerName } from "#mesh/peer.js";
import type { FrozenMac } from "#router/macs/mac-places.js";
import { statusLine } from "#router/service.js";

/** Numbers of MACs. */
export interface MacSizes {
  /** On this host's bridge, and of all hosts. */
  readonly own: number;
  readonly known: number;
  /** Those whose frames take the kernel's path. */
  readonly carried: number;
  /** Those that two hosts claim. */
  readonly frozen: number;
}

/** What is known of the MACs of all hosts. */
export interface MacsReport extends Omit<MacSizes, "frozen"> {
  /** MACs that two hosts claim. */
  readonly frozen: readonly FrozenMac[];
  /** Announcements and frames with the MAC of a bridge, or with one that no host can have. */
  readonly refused: number;
  /** MACs of this host that were not announced, as there were too many. */
  readonly unannounced: number;
  /** Announcements of each peer above its share. */
  readonly excess: readonly { readonly peer: PeerName; readonly macs: number }[];
  /** Entries that the kernel refused. */
  readonly failures: { readonly count: number; readonly reason: string };
}

/** Maximum lines of each kind in status; the report has all. */
const MAX_LINES = 5;

/** Lines of `weave status` about MACs; none while all is in order. */
export function macLines(
  { frozen, unannounced, excess, failures }: MacsReport,
  nameOf: (peer: PeerName) => string,
): string[] {
  const limited = (lines: readonly string[]) => [
    ...lines.slice(0, MAX_LINES),
    ...(lines.length > MAX_LINES ? [statusLine("", `${lines.length - MAX_LINES} more in 'weave report'`)] : []),
  ];
  return [
    ...limited(
      frozen.map(({ mac, at, others }) =>
        statusLine("FrozenMAC", `${mac} stays at ${nameOf(at)}; also claimed by ${others.map(nameOf).join(", ")}`),
      ),
    ),
    ...limited(
      excess.map(({ peer, macs }) =>
        statusLine("ExcessMACs", `${nameOf(peer)} announced ${macs} MACs above its share; frames to them are flooded`),
      ),
    ),
    ...(unannounced > 0
      ? [statusLine("ExcessMACs", `${unannounced} of this host are not announced; frames to them are flooded`)]
      : []),
    ...(failures.count > 0
      ? [statusLine("Forwarding", `the kernel refuses ${failures.count} entries: ${failures.reason}`)]
      : []),
  ];
}
