import type { ZodMiniObject } from "zod/mini";
import type { Attributes } from "#mesh/overlay.js";
import type { PeerName } from "#mesh/peer.js";
import type { NEXT_HOP_DATAGRAMS, NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import type { Command, DatapathEvent } from "#router/datapath/protocol.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";

/**
 * A kind of carrier: one way by which frames travel to a neighbour. `sleeve` sends records in UDP datagrams, `stream` over the
 * connection itself. The two ends agree on an ordered list of carriers (mesh/overlay.ts). At each end a selector (selector.ts)
 * chooses the carrier for sending; every carrier receives records. Each carrier has a folder, and a line in
 * router/carriers/carrier-list.ts.
 *
 * Records are sealed above the carriers, with the keys of keys.ts: a carrier of records adds no encryption.
 *
 * A carrier of records changes no other code: `sleeve` and `stream` are of that sort. A carrier in the kernel (`fastdp`) differs as
 * follows:
 * - `nextHop` is undefined, because its frames never reach user space. The frame threads send frames that they relay or flood
 *   by the next usable carrier.
 * - `selected` changes the forwarding entries of the kernel, by router/macs/forwarding.ts, which knows the MACs of each peer.
 * - It has keys of its own, from {@link CarrierLink.secretFor}.
 * - `state` is "usable" while its own heartbeats, sent through the port of the frames, are answered. `doubtful` follows them too.
 * - `stop` leaves the kernel as it is where frames passed: the other end's router may be starting again.
 */
export interface CarrierKind {
  /** Name in the agreed list, in status and in metrics: at most 16 characters. */
  readonly name: string;
  /** Shapes of the messages that its two ends exchange over the connection, by `kind`. No other carrier uses these kinds. */
  readonly messages: Readonly<Record<string, ZodMiniObject>>;
  open(link: CarrierLink, deps: CarrierDeps): Carrier;
}

export interface CarrierMessage {
  readonly kind: string;
}

export interface CarrierDeps {
  readonly datapath: { send(command: Command): void };
  /** The bridge that containers are attached to, and its MTU in bytes. */
  readonly bridge: { readonly name: string; readonly mtu: number };
  /** MTU of our own link towards a host, in bytes; undefined when it is unknown. */
  readonly linkMtu: (host: string) => Promise<number | undefined>;
  /** The source address that the kernel chooses for packets to a host; undefined: there is no route. */
  readonly sourceTo: (host: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** One connection, as a carrier sees it. */
export interface CarrierLink {
  /** Our number for the connection, in commands and events of the datapath. */
  readonly session: number;
  readonly peer: PeerName;
  /** The neighbour's name and nickname, for log lines. */
  readonly peerText: string;
  readonly outbound: boolean;
  readonly encrypted: boolean;
  readonly remoteHost: string;
  /** The local address of the connection, by which the neighbour reaches us. */
  readonly localHost: string;
  /** The port that the neighbour listens at, if this end dialled; otherwise undefined. */
  readonly remotePort: number | undefined;
  /**
   * Sends a message to the carrier of the other end, in order.
   *
   * @param sent called when the message has left this process, or is dropped
   */
  send(message: CarrierMessage, sent?: () => void): void;
  /** Reports that the message which is handled had frames: see `OverlayLink` of the mesh. */
  carried(): void;
  /**
   * Derives a secret of 32 bytes from that of the connection: the same at both ends, another one for each purpose. For
   * {@link CarrierKind.open} alone: the connection's own is zeroed then.
   */
  secretFor(purpose: string): Uint8Array;
  /** Reports that `state` or `doubtful` has changed. Do not call this before {@link Carrier.start}. */
  changed(): void;
}

/**
 * The state of a carrier.
 *
 *   probing ──proof──▶ usable ⇄ failed
 *      └──timeout────────────────▶┘
 */
export interface CarrierState {
  /** The first choice of a carrier waits while a better one is "probing". That state must end within seconds. */
  readonly condition: "probing" | "usable" | "failed";
  /** Text for status and logs: "UDP does not pass: no answer for 12 s". */
  readonly reason: string;
  /** Start of the condition, on the monotonic clock; of "usable": the time of the first proof. */
  readonly since: number;
}

/** The frame threads hand sealed records to the event loop, which passes them to the carrier. */
export interface RecordNextHop {
  readonly kind: typeof NEXT_HOP_EVENT_LOOP;
  /** Maximum bytes of a sealed record that the carrier accepts. */
  readonly recordBytes: number;
  /**
   * Sends a sealed record, preceded by one byte with lane and epoch. The other end passes it to its threads with the command
   * "record".
   *
   * @param sent called once, when the record has left this process or is dropped. Until then the record counts as queued
   */
  send(record: Uint8Array, sent: () => void): void;
}

/** Records that one end sealed, and those of them that arrived at the other end, as the receiving end counts them. */
export interface ArrivalCounts {
  readonly expected: number;
  readonly arrived: number;
}

/** What a carrier measures of the path to the neighbour, for metrics. */
export interface PathMeasurements {
  /** Smoothed round trip; undefined: it was not measured of late. */
  readonly roundTripMs: number | undefined;
  /** Our records, by the word of the other end; only reports while many records flow. */
  readonly sent: ArrivalCounts;
  /** Records of the other end. */
  readonly received: ArrivalCounts;
}

/** How the frame threads send records by a carrier. */
export type CarrierNextHop = { readonly kind: typeof NEXT_HOP_DATAGRAMS } | RecordNextHop;

export type SessionEvent = Extract<DatapathEvent, { session: number }>;

/** One carrier of one connection. */
export interface Carrier {
  readonly name: string;
  readonly state: CarrierState;
  /** True: there is no recent proof that the other end is alive. While all carriers are doubtful, the connection is probed. */
  readonly doubtful: boolean;
  /** Undefined: the kernel forwards the frames. */
  readonly nextHop: CarrierNextHop | undefined;
  /** Bytes of the largest IP packet of a container that the carrier does not cut. */
  readonly mtu: number;
  /**
   * The carrier in the list that comes before this one although the list has it later; absent or undefined: the order of the list counts. A
   * change is reported by {@link CarrierLink.changed}. Each end chooses the carrier of what it sends.
   */
  readonly follows?: string | undefined;
  /** Starts the carrier. The other end is ready, and the threads know its session number. */
  start(): void;
  /** Handles a message of the other end, of one of the {@link CarrierKind.messages}. @throws WEAVE_MESSAGE_MALFORMED */
  receive(message: CarrierMessage): void;
  /** Handles an event of the frame threads for this session. A carrier ignores events for other carriers. */
  onEvent(event: SessionEvent): void;
  /** Handles a change of this host's links or routes. */
  onLinksChanged(): void;
  /** Reports whether frames travel by this carrier from now on. */
  selected(inUse: boolean): void;
  /** Attributes for `status connections`, in addition to the MTU. */
  attributes(): Attributes;
  /** Why the carrier works below its possible performance, for `status connections`; undefined: it does not. */
  readonly restriction?: string | undefined;
  /** Attributes for the report. */
  diagnostics(): Attributes;
  /** Absent: the carrier measures nothing. */
  measurements?(): PathMeasurements;
  stop(): void;
}
