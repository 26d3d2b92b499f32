import type { DatagramSender } from "#router/datapath/datagram-socket.js";
import { NEXT_HOP_DATAGRAMS, type NextHop } from "#router/datapath/next-hop.js";
import { type KeyOptions, SessionKeys } from "#router/datapath/session-keys.js";
import type { SourceGuard } from "#router/datapath/source-guard.js";
import { newTraffic, type PeerTraffic } from "#router/datapath/traffic-ledger.js";
import { type Endpoint, SMALLEST_DATAGRAM } from "#src/net/endpoint.js";

/** Bytes of UDP payload that every path carries. */
export const FLOOR_DATAGRAM = SMALLEST_DATAGRAM;
/** Datagrams in a record while the loss of the path is unknown: a loss of 1 % of the datagrams then costs 4 % of the records. */
export const SAFE_DATAGRAMS = 4;

export interface SessionOptions extends KeyOptions {
  readonly peer: number;
  /** The socket that sends its datagrams. */
  readonly sender: DatagramSender;
  /** The peer's address in its connection, as text. Datagrams in clear come from there, or are dropped. */
  readonly host?: string | undefined;
  /** Counts of the peer's records; by default those of this session alone. */
  readonly traffic?: PeerTraffic;
}

/** One neighbour in a frame thread: its keys, the next hop, and how datagrams to it are sent. */
export class Session {
  /** Our number for the session. */
  readonly local: number;
  readonly peer: number;
  readonly keys: SessionKeys;
  readonly encrypted: boolean;
  readonly host: string | undefined;
  readonly traffic: PeerTraffic;

  nextHop: NextHop["kind"] = NEXT_HOP_DATAGRAMS;
  /** The largest sealed record that may be handed to the event loop. */
  handOverBytes = 0;
  /** Bytes handed to the event loop that the carrier has not sent yet. */
  handedOver = 0;

  readonly sender: DatagramSender;
  /** Endpoint of the peer. Undefined until the peer was dialled or an authentic datagram has arrived. */
  address: Endpoint | undefined;
  /** The source address of our datagrams (its port has no meaning); undefined: the kernel chooses by the route. */
  source: Endpoint | undefined;
  /** Largest UDP payload, in bytes, that is proven to pass. */
  datagramBytes = FLOOR_DATAGRAM;
  /** Maximum datagrams of a record: fewer on a path with loss (carriers/sleeve/record-size.ts). */
  datagramsPerRecord = SAFE_DATAGRAMS;
  /** True: one system call may send many datagrams; false: one call for each datagram. */
  batches = true;
  /** Which sources the neighbour's records may have; undefined until it relays one. */
  guard: SourceGuard | undefined;
  /** The earliest times of the next events "frames are being sent" and "large frames are being sent". */
  framesReportAfter = 0;
  largeReportAfter = 0;

  constructor(options: SessionOptions) {
    this.local = options.local;
    this.peer = options.peer;
    this.sender = options.sender;
    this.keys = new SessionKeys(options);
    this.host = options.host;
    this.traffic = options.traffic ?? newTraffic(options.peer);
    this.encrypted = options.encrypted;
  }
}
