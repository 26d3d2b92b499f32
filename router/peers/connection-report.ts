import type { Connection } from "#mesh/connection/connection.js";
import type { AttemptStatus } from "#mesh/dialling/schedule.js";
import type { Hello } from "#mesh/handshake/hello.js";
import type { MeshStatus } from "#mesh/options.js";
import type { OverlayStatus } from "#mesh/overlay.js";
import { peerText } from "#mesh/peer.js";
import type { Refused } from "#mesh/refusals.js";
import { ADDRESS_PORT_WIDTH } from "#src/net/family.js";
import { VERSION } from "#src/version.js";

/*
 * A line of `weave status connections`, here as data and as text:
 *
 *   ->     192.0.2.2:6783   established   encrypted   sleeve 02:00:00:00:00:02(h2)   encrypted=true mtu=1394
 *   arrow  address          state         info                                       attributes
 *
 * - arrow: this end dialled (`->`), or the other end (`<-`)
 * - address: of the other end; of an attempt: the target
 * - state: of the connection (mesh/connection/connection.ts) or of the attempt (mesh/dialling/schedule.ts); "failed" for a refused connection
 * - info: encryption, carrier and peer of a connection; error and next dial of an attempt (mesh/dialling/schedule.ts); reason,
 *   count and time of refused connections (mesh/refusals.ts)
 * - attributes: of a connection alone, from `OverlayStatus` (router/carriers/peer-session.ts); see {@link attributesOf}
 */

/** A connection, an attempt to connect, or a refused connection, as report and status show it. */
export interface ConnectionReport {
  readonly Address: string;
  readonly Outbound: boolean;
  readonly State: string;
  /** For people: columns of `weave status connections`, made of typed data here and read by no program of ours. */
  readonly Info: string;
  readonly Attrs: Readonly<Record<string, unknown>> | null;
}

/** The carrier in the info of a connection that has none yet: the preferred one. */
const INFO_WITHOUT_CARRIER = "sleeve";
/** The same in the label `type` of `weave_connections`. */
export const LABEL_WITHOUT_CARRIER = "unknown";

/** The version of an early build, which sends none. */
const UNKNOWN_VERSION = "unknown";

/** The lines of `weave status connections`. */
export function connectionLines({ Connections }: { readonly Connections: readonly ConnectionReport[] }): string[] {
  return Connections.map(({ Address, Outbound, State, Info, Attrs }) => {
    const attributes = Object.entries(Attrs ?? {})
      .filter(([key]) => key !== "name")
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}=${value}`)
      .join(" ");
    return `${arrow(Outbound)} ${Address.padEnd(ADDRESS_PORT_WIDTH)} ${State.padEnd(11)} ${Info} ${attributes}`;
  });
}

export const arrow = (outbound: boolean): string => (outbound ? "->" : "<-");

export function connectionReports({ connections, attempts, refused }: MeshStatus): ConnectionReport[] {
  return [...connections.map(connectionReport), ...attempts.map(attemptReport), ...refused.map(refusedReport)];
}

function connectionReport({ wire, outbound, state, overlay, encrypted, remote, silent }: Connection): ConnectionReport {
  const carrier = overlay?.name ?? INFO_WITHOUT_CARRIER;
  const encryption = encrypted ? "encrypted" : "unencrypted";
  return {
    Address: wire.remoteAddress,
    Outbound: outbound,
    State: state,
    Info: `${encryption.padEnd(11)} ${carrier.padEnd(6)} ${peerText(remote!)}`,
    Attrs: { ...attributesOf(carrier, overlay?.status() ?? {}, silent), ...otherVersion(remote!) },
  };
}

/** The version of the other end's weave, if it is not that of this host: during an upgrade of the network. */
function otherVersion({ version }: Hello): { version?: string } {
  return version === VERSION ? {} : { version: version ?? UNKNOWN_VERSION };
}

/**
 * The attributes of a connection. It has one `reason`, the first of these:
 *
 * 1. the other end is silent (mesh/connection/liveness.ts)
 * 2. `restriction`: the carrier works below its possible performance (router/carriers/sleeve/sleeve.ts)
 * 3. `failure`: no carrier works (router/carriers/selector.ts)
 * 4. `fallback`: the preferred carrier is not in use, with `since` (router/carriers/selector.ts)
 */
export function attributesOf(name: string, status: OverlayStatus, silent: boolean): Record<string, unknown> {
  const { encrypted, mtu, fallback, failure, carrier } = status;
  const text = reasonOf(status, silent);
  const reason = text === undefined ? {} : { reason: `"${text}"` };
  return {
    name,
    ...(encrypted && { encrypted }),
    ...(mtu !== undefined && { mtu }),
    // The report keeps this order of keys.
    ...((fallback ?? failure) !== undefined && reason),
    ...(fallback && { since: fallback.since }),
    ...carrier,
    ...reason,
  };
}

/** The one reason of {@link attributesOf}; undefined: all is well. */
export const reasonOf = ({ restriction, failure, fallback }: OverlayStatus, silent: boolean): string | undefined =>
  silent ? "the peer does not answer" : (restriction ?? failure ?? fallback?.reason);

function attemptReport({ address, state, error, retryAt }: AttemptStatus): ConnectionReport {
  const at = Number.isFinite(retryAt) ? timeText(retryAt) : "never";
  const Info = state === "failed" ? `${error}, retry: ${at}` : state === "waiting" ? `until: ${at}` : (error ?? "");
  return { Address: address, Outbound: true, State: state, Info, Attrs: null };
}

/** The report of refused connections from one address. */
function refusedReport({ address, text, count, at }: Refused): ConnectionReport {
  const times = count === 1 ? "once" : `${count} times`;
  const Info = `${text}, refused ${times}, last: ${timeText(at)}`;
  return { Address: address, Outbound: false, State: "failed", Info, Attrs: null };
}

/** ISO 8601 text of a time on the monotonic clock. */
export const timeText = (at: number): string => new Date(Date.now() + at - performance.now()).toISOString();
