import type { Connection } from "#mesh/connection.js";
import type { AttemptStatus } from "#mesh/dial-schedule.js";
import type { MeshStatus } from "#mesh/options.js";
import { peerText } from "#mesh/peer.js";
import type { Refused } from "#mesh/refusals.js";

/** A connection, an attempt to connect, or a refused connection, as report and status show it. */
export interface ConnectionReport {
  readonly Address: string;
  readonly Outbound: boolean;
  readonly State: string;
  /** Text for people: columns of `weave status connections`. No code of the router parses it. */
  readonly Info: string;
  readonly Attrs: Readonly<Record<string, unknown>> | null;
}

/** The carrier that is shown for a connection without one. */
const DEFAULT_CARRIER = "sleeve";

export function connectionReports({ connections, attempts, refused }: MeshStatus): ConnectionReport[] {
  return [...connections.map(connectionReport), ...attempts.map(attemptReport), ...refused.map(refusedReport)];
}

function connectionReport({ wire, outbound, state, overlay, encrypted, remote, silent }: Connection): ConnectionReport {
  const carrier = overlay?.name ?? DEFAULT_CARRIER;
  const encryption = encrypted ? "encrypted" : "unencrypted";
  return {
    Address: wire.remoteAddress,
    Outbound: outbound,
    State: state,
    Info: `${encryption.padEnd(11)} ${carrier.padEnd(6)} ${peerText(remote!)}`,
    Attrs: {
      name: carrier,
      ...overlay?.attributes(),
      ...(silent && { reason: '"the peer does not answer"' }),
    },
  };
}

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
const timeText = (at: number): string => new Date(Date.now() + at - performance.now()).toISOString();
