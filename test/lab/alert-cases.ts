/** For each alert values of metrics with which it fires, and values with which it does not: promtool's unit tests of the rules. */

/** Series by selector, with values in promtool's notation, one a minute: `1+2x60` is 1, 3, 5 and so on. */
type Series = Readonly<Record<string, string>>;

export interface AlertCase {
  readonly fires: Series;
  readonly calm: Series;
  /** Labels of the alert, beside `severity`, `job` and `instance`; `instance: ""`: it has none. */
  readonly labels?: Readonly<Record<string, string>>;
}

const HOUR = 180;
/** A value that stays for three hours. */
const stays = (value: number): string => `${value}+0x${HOUR}`;
/** A counter that grows by so much a minute. */
const grows = (each: number): string => `0+${each}x${HOUR}`;
const T = 'job="weave",instance="h1:6781"';
const PEER = "02:00:00:00:00:02";

/** A gauge that is 0 in a calm network. */
const gauge = (name: string, labels: Readonly<Record<string, string>> = {}, value = 1): AlertCase => {
  const more = Object.entries(labels).map(([label, text]) => `,${label}="${text}"`);
  const series = `${name}{${T}${more.join("")}}`;
  return { fires: { [series]: stays(value) }, calm: { [series]: stays(0) }, labels };
};

const counter = (name: string, more: string, fires: number, calm: number, labels?: AlertCase["labels"]): AlertCase => ({
  fires: { [`${name}{${T}${more}}`]: grows(fires) },
  calm: { [`${name}{${T}${more}}`]: grows(calm) },
  ...(labels && { labels }),
});

const bucket = (le: string) => `weave_event_loop_delay_seconds_bucket{${T},le="${le}"}`;
const records = (kind: string) => `weave_peer_records_${kind}_total{${T},peer="${PEER}",direction="sent"}`;
const roundTrip = `weave_peer_round_trip_seconds{${T},peer="${PEER}"}`;
const [used, range] = [`weave_ips{${T},state="local-used"}`, `weave_max_ips{${T}}`];

export const ALERT_CASES: Readonly<Record<string, AlertCase>> = {
  WeaveRouterDown: { fires: { [`up{${T}}`]: stays(0) }, calm: { [`up{${T}}`]: stays(1) } },
  WeaveRoutersAbsent: {
    fires: { 'up{job="other"}': stays(1) },
    calm: { [`up{${T}}`]: stays(0) },
    labels: { instance: "" },
  },
  WeaveRestartLoop: {
    fires: { [`process_start_time_seconds{${T}}`]: grows(60) },
    calm: { [`process_start_time_seconds{${T}}`]: `${stays(7)}` },
  },
  WeaveProblem: gauge("weave_problems"),
  WeaveLogLinesLost: counter("weave_log_lines_lost_total", "", 1, 0),
  WeaveFilesNearLimit: {
    fires: { [`process_open_fds{${T}}`]: stays(850), [`process_max_fds{${T}}`]: stays(1_024) },
    calm: { [`process_open_fds{${T}}`]: stays(800), [`process_max_fds{${T}}`]: stays(1_024) },
  },
  WeaveEventLoopSlow: {
    fires: { [bucket("0.25")]: grows(100), [bucket("0.5")]: grows(240), [bucket("+Inf")]: grows(240) },
    calm: { [bucket("0.25")]: grows(230), [bucket("0.5")]: grows(240), [bucket("+Inf")]: grows(240) },
  },
  WeaveThreadSaturated: counter("weave_datapath_thread_busy_seconds_total", ',thread="0"', 57, 50, { thread: "0" }),
  WeaveThreadsSilent: {
    fires: { [`weave_datapath_responding{${T}}`]: stays(0) },
    calm: { [`weave_datapath_responding{${T}}`]: stays(1) },
  },
  WeaveClockBehind: gauge("weave_clock_behind_seconds", {}, 61),
  WeaveLinkDown: {
    fires: { [`weave_connections{${T},state="retrying",type="unknown",encryption=""}`]: stays(1) },
    calm: { [`weave_connections{${T},state="established",type="sleeve",encryption="yes"}`]: stays(1) },
  },
  WeaveCarrierStream: gauge("weave_peer_carrier", { peer: PEER, carrier: "stream" }),
  WeaveCarrierBelowBest: gauge("weave_peer_carrier_below_best", { peer: PEER }),
  WeavePacketLoss: {
    fires: { [records("expected")]: grows(6_000), [records("arrived")]: grows(5_800) },
    calm: { [records("expected")]: grows(6_000), [records("arrived")]: grows(5_900) },
    labels: { peer: PEER, direction: "sent" },
  },
  WeaveRoundTripLong: {
    // 20 ms for an hour and a half, then 120 ms: when the alert is looked at, the hour before has had both.
    fires: { [roundTrip]: `0.02+0x90 0.2+0x${HOUR - 90}` },
    calm: { [roundTrip]: stays(0.2) },
    labels: { peer: PEER },
  },
  WeaveFramesDropped: counter("weave_datapath_drops_total", ',reason="no-route"', 660, 540, { reason: "no-route" }),
  WeaveAddressSpaceNearlyFull: {
    fires: { [used]: stays(950), [range]: stays(1_024) },
    calm: { [used]: stays(900), [range]: stays(1_024) },
    labels: { instance: "" },
  },
  WeaveAddressRequestsBlocked: {
    fires: { [`weave_ipam_pending_allocates{${T}}`]: stays(0), [`weave_ipam_pending_claims{${T}}`]: stays(1) },
    calm: { [`weave_ipam_pending_allocates{${T}}`]: stays(0), [`weave_ipam_pending_claims{${T}}`]: stays(0) },
  },
  WeaveAddressOwnersAway: gauge("weave_ipam_unreachable_count"),
  WeaveTakeoverPending: gauge("weave_ipam_takeover_pending"),
  WeaveAddressesContested: gauge("weave_ipam_contested_ips"),
  WeaveStrangersRefused: counter("weave_connections_refused_total", ',reason="password"', 3, 1),
  WeaveIdentityClash: gauge("weave_peer_conflicts"),
  WeaveMessagesQuarantined: counter("weave_messages_quarantined_total", ',about="records",reason="forged"', 1, 0, {
    about: "records",
  }),
  WeaveNeighbourSlowed: gauge("weave_neighbours_slowed"),
  WeaveMacFrozen: gauge("weave_fastdp_macs_frozen"),
  WeaveRekeyIncomplete: gauge("weave_password_lacking_peers"),
};
