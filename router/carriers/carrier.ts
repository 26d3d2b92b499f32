import type { ZodMiniObject } from "zod/mini";
import type { Attributes } from "#mesh/overlay.js";
import type { NEXT_HOP_DATAGRAMS, NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import type { Command, DatapathEvent } from "#router/datapath/protocol.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";

/**
 * A carrier: one way by which frames travel to a neighbour. `sleeve` sends records in UDP datagrams, `stream` over the
 * connection itself. The two ends agree on an ordered list of carriers (mesh/overlay.ts). At each end a selector
 * (selector.ts) chooses the carrier to send by; records are received by all. Each carrier has a folder, and a line in
 * router/frames/carrier-list.ts.
 *
 * Records are sealed above the carriers (keys.ts): a carrier that moves records adds no encryption.
 *
 * A carrier in the kernel (VXLAN ports of the bridge, in clear or in ESP) implements the interface as follows:
 * - `nextHop` is undefined, because its frames never reach user space. The frame threads send the frames that they relay or
 *   flood by the next usable carrier.
 * - `selected` adds and removes the forwarding entries, and the keys of the kernel, which it derives from `secret`.
 * - `mtu` is the MTU of the link without the headers of the tunnel.
 * - `state` is "usable" while pings of its own, sent through the port that frames take, are answered, and `doubtful` follows
 *   them, with the times of sleeve/path.ts.
 * - `stop` removes everything that it made in the kernel.
 * It stands before `sleeve` in the list, and `--no-fastdp` leaves it out.
 */
export interface CarrierKind {
  /** As in the agreed list, in status and in metrics; 16 characters at most. */
  readonly name: string;
  /** The messages that its two ends exchange over the connection, by their `kind`, which no other carrier uses. */
  readonly messages: Readonly<Record<string, ZodMiniObject>>;
  open(link: CarrierLink, deps: CarrierDeps): Carrier;
}

export interface CarrierMessage {
  readonly kind: string;
}

export interface CarrierDeps {
  readonly datapath: { send(command: Command): void };
  /** MTU of our own link towards a host, in bytes; undefined when unknown. */
  readonly linkMtu: (host: string) => Promise<number | undefined>;
  /** The address of this host that packets to another leave from, as the kernel chooses; undefined: there is no route. */
  readonly sourceTo: (host: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** One connection, as a carrier sees it. */
export interface CarrierLink {
  /** Our number for the connection, in commands and events of the datapath. */
  readonly session: number;
  /** The neighbour, for log lines. */
  readonly peer: string;
  readonly outbound: boolean;
  readonly encrypted: boolean;
  readonly remoteHost: string;
  /** Our own address of the connection: the one by which the neighbour reaches us. */
  readonly localHost: string;
  /** The port at which the neighbour listens, where we dialled it. */
  readonly remotePort: number | undefined;
  /** A secret of the two ends of this connection. */
  readonly secret: Uint8Array;
  /**
   * Sends a message to the carrier of the other end, in order.
   *
   * @param sent called when the message has left this process, or never will
   */
  send(message: CarrierMessage, sent?: () => void): void;
  /** `state` or `doubtful` has changed. Not to be called before {@link Carrier.start}. */
  changed(): void;
}

/**
 *   probing ──proof──▶ usable ⇄ failed
 *      └──its patience ends──────▶┘
 */
export interface CarrierState {
  /** The choice of a first carrier waits for one that is "probing": that must end within seconds. */
  readonly condition: "probing" | "usable" | "failed";
  /** For status and logs: "UDP does not pass: no answer for 12 s". */
  readonly reason: string;
  /** Since when without a break, on the monotonic clock; a usable one: since the first proof. */
  readonly since: number;
}

/** The frame threads hand sealed records to the event loop, which passes them to the carrier. */
export interface RecordNextHop {
  readonly kind: typeof NEXT_HOP_EVENT_LOOP;
  /** The largest record that it takes, sealed. */
  readonly recordBytes: number;
  /**
   * Sends a sealed record, after a byte of lane and epoch. The other end passes it to its threads by the command "record".
   *
   * @param sent called once, when the record has left this process or is dropped: until then it counts as queued
   */
  send(record: Uint8Array, sent: () => void): void;
}

/** How the frame threads send by a carrier. */
export type CarrierNextHop = { readonly kind: typeof NEXT_HOP_DATAGRAMS } | RecordNextHop;

export type SessionEvent = Extract<DatapathEvent, { session: number }>;

/** A carrier of one connection. */
export interface Carrier {
  readonly name: string;
  readonly state: CarrierState;
  /** It has no proof of late that the other end is there. While all carriers are doubtful, the connection is probed. */
  readonly doubtful: boolean;
  /** Undefined: the kernel forwards the frames. */
  readonly nextHop: CarrierNextHop | undefined;
  /** The largest IP packet of a container that travels without being cut, in bytes. */
  readonly mtu: number;
  /** The other end is ready: its session is known to the threads. */
  start(): void;
  /** A message of the other end, of one of its {@link CarrierKind.messages}. @throws WEAVE_MESSAGE_MALFORMED */
  receive(message: CarrierMessage): void;
  /** An event of the frame threads about this session; a carrier ignores what concerns another. */
  onEvent(event: SessionEvent): void;
  /** Links or routes of this host have changed. */
  onLinksChanged(): void;
  /** Frames travel by this carrier from now on, or no longer. */
  selected(inUse: boolean): void;
  /** For `status connections`, beside the mtu. */
  attributes(): Attributes;
  /** For the report. */
  diagnostics(): Attributes;
  stop(): void;
}
