import type { Mesh } from "#mesh/mesh.js";
import { peerText } from "#mesh/peer.js";
import { ordererText } from "#mesh/rekey/order.js";
import { type Metric, statusLine } from "#router/service.js";

/** The section `Secret` of the report. Times are ISO 8601. */
export interface SecretReport {
  /** Whether peers must prove that they know the password. */
  readonly Required: boolean;
  /** The last order to change the password; null: there was none since the launch with this password. */
  readonly Order: {
    readonly By: string;
    readonly At: string;
    /** The neighbour that passed it on; "": this host gave it, or it is of an earlier run. */
    readonly Via: string;
    readonly Password: boolean;
    readonly Excluded: readonly string[];
  } | null;
  /** Peers that have not confirmed the new password. */
  readonly Lacking: readonly string[];
  /** Until when the earlier password is accepted at the latest; "": it is not. */
  readonly EarlierUntil: string;
  /** An order that waits, because there were too many; "": none. */
  readonly Waiting: string;
  /** Excluded peers that may know the password. */
  readonly Doubtful: readonly string[];
  /** Number of rejected orders by reason, and of forged confirmations (`acknowledgement`). */
  readonly Rejected: Readonly<Record<string, number>>;
  /** The last rejected order; "": none. */
  readonly LastRejected: string;
}

const timeText = (ms: number): string => new Date(ms).toISOString();

export function secretReport(mesh: Mesh): SecretReport {
  const { order, via, lacking, earlierUntil, doubtful, waiting, rejections, lastRejected } = mesh.rekey.status();
  const named = (peer: { readonly name: string }) => {
    const nickname = mesh.peer(peer.name as never)?.nickname ?? mesh.trust.get(peer.name as never)?.nickname ?? "";
    return peerText({ name: peer.name as never, nickname });
  };
  return {
    Required: mesh.secrets.required,
    Order:
      order === undefined
        ? null
        : {
            By: ordererText(order),
            At: timeText(order.generation),
            Via: via ?? "",
            Password: order.commitment !== "",
            Excluded: order.excluded.map(named),
          },
    Lacking: lacking.map(peerText),
    EarlierUntil: earlierUntil === undefined ? "" : timeText(earlierUntil),
    Waiting: waiting === undefined ? "" : `${ordererText(waiting)} at ${timeText(waiting.generation)}`,
    Doubtful: doubtful.map(named),
    Rejected: rejections.counts,
    LastRejected:
      lastRejected === undefined
        ? ""
        : `${ordererText(lastRejected.order)}, from ${lastRejected.from}: ${lastRejected.reason}`,
  };
}

/** The paragraph of `weave status`; none before the first order. */
export function secretBlocks(report: SecretReport): string[] {
  const { Order, Lacking, EarlierUntil, Waiting, Doubtful, Rejected, LastRejected } = report;
  const { acknowledgement: confirmations = 0, ...byReason } = Rejected;
  const rejected = Object.values(byReason).reduce((sum, each) => sum + each, 0);
  if (Order === null && rejected === 0) return [];
  const lines = [statusLine("Service", "password")];
  if (Order !== null) {
    const how = Order.Password ? "" : " (no password since)";
    lines.push(
      statusLine("Changed", `${Order.At} by ${Order.By}${Order.Via === "" ? "" : `, via ${Order.Via}`}${how}`),
    );
    lines.push(statusLine("Lacking", Lacking.length === 0 ? "none" : Lacking.join(", ")));
  }
  if (EarlierUntil !== "")
    lines.push(statusLine("Earlier", `accepted of known peers until ${EarlierUntil} at the latest`));
  if (Waiting !== "") lines.push(statusLine("Waiting", `the order of ${Waiting}; there were too many`));
  for (const peer of Doubtful)
    lines.push(statusLine("MayKnow", `${peer}, excluded while another order was given: run 'weave rekey' once more`));
  if (rejected > 0) lines.push(statusLine("Rejected", `${rejected} orders; the last: ${LastRejected}`));
  if (confirmations > 0) lines.push(statusLine("Rejected", `${confirmations} forged confirmations of an order`));
  return [lines.join("")];
}

export function secretMetrics(mesh: Mesh): Metric[] {
  const status = () => mesh.rekey.status();
  return [
    {
      name: "weave_password_lacking_peers",
      help: "Number of peers that have not confirmed the last change of the password.",
      type: "gauge",
      read: () => status().lacking.length,
    },
    {
      name: "weave_password_earlier_accepted",
      help: "Whether the earlier password is still accepted.",
      type: "gauge",
      read: () => (status().earlierUntil === undefined ? 0 : 1),
    },
  ];
}
