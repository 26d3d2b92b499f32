import type { PeerName } from "#mesh/peer.js";
import type { DatapathReport } from "#router/datapath/protocol.js";
import { statusLine } from "#router/service.js";
import { macFromNumber } from "#src/mac.js";

/** What peers have claimed in frames that was not theirs, since the start of the router. */
export interface FrameClaims {
  /** By neighbours that sent records of other peers without a route from there through the neighbour to us. */
  readonly Sources: readonly {
    /** The neighbour. */
    readonly Name: string;
    readonly NickName: string;
    /** The peer that it claimed last, and that peer's nickname. */
    readonly Source: string;
    readonly SourceNickName: string;
    /** Records that were delivered, and of which nothing was learned: others may have known a new route first. */
    readonly Unproven: number;
    /** Records that were dropped. */
    readonly Refused: number;
  }[];
  /** By peers whose frames had MACs of others. */
  readonly MACs: readonly {
    readonly Name: string;
    readonly NickName: string;
    /** MACs that moved to the peer. */
    readonly Moves: number;
    /** Frames whose MAC stayed elsewhere, as two peers claim it. */
    readonly Held: number;
    /** Frames that were dropped, as their MAC is on our bridge. */
    readonly Refused: number;
    /** Frames whose MAC was not learned, as the table, or the peer's share of it, was full. */
    readonly Full: number;
    /** The last MAC, and the peer that had it; "" if none had. */
    readonly Mac: string;
    readonly From: string;
  }[];
}

export const NO_CLAIMS: FrameClaims = { Sources: [], MACs: [] };

export function frameClaims(
  { sourceClaims, macClaims }: Pick<DatapathReport, "sourceClaims" | "macClaims">,
  nicknameOf: (peer: PeerName) => string,
): FrameClaims {
  const named = (peer: number) => ({ Name: macFromNumber(peer), NickName: nicknameOf(macFromNumber(peer)) });
  return {
    Sources: sourceClaims.map(({ neighbour, source, unproven, refused }) => ({
      ...named(neighbour),
      Source: macFromNumber(source),
      SourceNickName: nicknameOf(macFromNumber(source)),
      Unproven: unproven,
      Refused: refused,
    })),
    MACs: macClaims.map(({ peer, moves, held, refused, full, mac, from }) => ({
      ...named(peer),
      Moves: moves,
      Held: held,
      Refused: refused,
      Full: full,
      Mac: macFromNumber(mac),
      From: from === 0 ? "" : macFromNumber(from),
    })),
  };
}

/** Maximum lines of each kind in status; the report has all. */
const MAX_LINES = 5;

/**
 * The paragraph of `weave status`; none while nothing was refused. A container that moves, and records before their route is known, are
 * in order, and only in the report.
 */
export function claimsBlocks({ Sources, MACs }: FrameClaims): string[] {
  const peer = (name: string, nickname: string) => `${name}(${nickname})`;
  const sources = Sources.filter(({ Refused }) => Refused > 0).map(
    ({ Name, NickName, Source, SourceNickName, Refused }) =>
      statusLine(
        "ForgedSource",
        `${peer(Name, NickName)} sent ${Refused} records of ${peer(Source, SourceNickName)} to which it has no route; dropped`,
      ),
  );
  const macs = MACs.filter(({ Held, Refused, Full }) => Held + Refused + Full > 0).map(
    ({ Name, NickName, Held, Refused, Full, Mac, From }) => {
      const counts = [
        [Held, "claimed by two peers"],
        [Refused, "on our bridge"],
        [Full, "above its share"],
      ] as const;
      const text = counts.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : [])).join(", ");
      const last = From === "" ? Mac : `${Mac} of ${From}`;
      return statusLine("ClaimedMAC", `${peer(Name, NickName)} sent frames with MACs of others: ${text}; last ${last}`);
    },
  );
  if (sources.length + macs.length === 0) return [];
  const lines = [sources, macs].flatMap((kind) => [
    ...kind.slice(0, MAX_LINES),
    ...(kind.length > MAX_LINES ? [statusLine("", `${kind.length - MAX_LINES} more in 'weave report'`)] : []),
  ]);
  return [[statusLine("Service", "frames"), ...lines].join("")];
}
