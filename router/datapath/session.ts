import type { DatagramSender } from "#router/datapath/datagram-socket.js";
import { NEXT_HOP_DATAGRAMS, type NextHop } from "#router/datapath/next-hop.js";
import { type KeyOptions, SessionKeys } from "#router/datapath/session-keys.js";
import { type Endpoint, SMALLEST_DATAGRAM } from "#src/net/endpoint.js";

/** UDP payload that every path carries. */
export const FLOOR_DATAGRAM = SMALLEST_DATAGRAM;
/** Datagrams of a record on a path of unknown loss: a loss of 1 % then costs 4 % of the records. */
export const SAFE_DATAGRAMS = 4;

export interface SessionOptions extends KeyOptions {
  readonly peer: number;
  /** The socket that its datagrams leave by. */
  readonly sender: DatagramSender;
}

/** One neighbour in a frame thread: its keys, the next hop, and how datagrams to it are sent. */
export class Session {
  /** Our number for it. */
  readonly local: number;
  readonly peer: number;
  readonly keys: SessionKeys;

  nextHop: NextHop["kind"] = NEXT_HOP_DATAGRAMS;
  /** The largest sealed record that may be handed to the event loop. */
  handOverBytes = 0;
  /** Bytes handed to the event loop that the carrier has not sent yet. */
  handedOver = 0;

  readonly sender: DatagramSender;
  /** Undefined until it is known: it is learnt from the first authentic datagram. */
  address: Endpoint | undefined;
  /** The source address of our datagrams (its port has no meaning); undefined: the kernel chooses by the route. */
  source: Endpoint | undefined;
  /** UDP payload that is proven to pass. */
  datagramBytes = FLOOR_DATAGRAM;
  /** Datagrams that a record may fill: fewer where more are lost (carriers/sleeve/record-size.ts). */
  datagramsPerRecord = SAFE_DATAGRAMS;
  /** Many datagrams may leave with one call; else each leaves with its own. */
  batches = true;
  /** The earliest time of the next event that frames, or large frames, are being sent. */
  framesReportAfter = 0;
  largeReportAfter = 0;

  constructor(options: SessionOptions) {
    this.local = options.local;
    this.peer = options.peer;
    this.sender = options.sender;
    this.keys = new SessionKeys(options);
  }
}
