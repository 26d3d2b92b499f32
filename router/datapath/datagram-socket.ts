import type { IoVector } from "#src/linux/native/io-vector.js";
import type { MessageBatch } from "#src/linux/native/message-batch.js";
import type { SendPath } from "#src/linux/native/udp-sender.js";
import type { Endpoint } from "#src/net/endpoint.js";

/**
 * The source of a frame thread's datagrams. The implementation uses a UDP socket (src/linux/native/udp-receiver.ts).
 */
export interface DatagramReceiver {
  /** Bytes of each datagram of the last {@link receive}; the last datagram may be shorter. */
  readonly segmentBytes: number;
  /** The sender of the last {@link receive}, and the id of that endpoint. */
  readonly source: Endpoint | undefined;
  readonly sourceId: number;
  /** Whether one {@link receive} may return several datagrams of one sender, joined. */
  gro: boolean;
  /** Receives datagrams of one sender into the spans of `parts`. Returns the count of bytes, or minus errno. */
  receive(parts: IoVector): number;
  /** Receives datagrams without joining them. Returns their number, or minus errno. */
  receiveMany(batch: MessageBatch): number;
  /** Number of drops because the receive queue was full, since the socket was opened, modulo 2^32. */
  dropped(): number;
}

/** Sends the datagrams of a frame thread (src/linux/native/udp-sender.ts). */
export interface DatagramSender {
  /**
   * Sends the spans of `parts` as datagrams of `segmentBytes` each; the last may be shorter.
   *
   * @param spans number of spans in one datagram
   * @returns the count of bytes, or minus errno: ENETUNREACH or EINVAL where this host does not have the address of
   *   `path.source`
   */
  send(parts: IoVector, segmentBytes: number, spans: number, path: SendPath): number;
  close(): void;
}
