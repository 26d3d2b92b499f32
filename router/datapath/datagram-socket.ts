import type { IoVector } from "#src/linux/native/io-vector.js";
import type { MessageBatch } from "#src/linux/native/message-batch.js";
import type { SendPath } from "#src/linux/native/udp-sender.js";
import type { Endpoint } from "#src/net/endpoint.js";

/**
 * How a frame thread receives datagrams. UDP sockets (src/linux/native/udp-receiver.ts) are the implementation; anything
 * else that delivers datagrams into memory of ours can be another.
 */
export interface DatagramReceiver {
  /** Size of each datagram of the last {@link receive} but the last one. */
  readonly segmentBytes: number;
  /** The endpoint that the last {@link receive} came from, and its id. */
  readonly source: Endpoint | undefined;
  readonly sourceId: number;
  /** Whether one {@link receive} may bring several datagrams of one sender, joined. */
  gro: boolean;
  /** Receives datagrams of one sender into the spans of `parts`. Returns the count of bytes, or minus errno. */
  receive(parts: IoVector): number;
  /** Receives datagrams, each by itself. Returns how many, or minus errno. */
  receiveMany(batch: MessageBatch): number;
  /** Times that something received was dropped because a queue was full, since the beginning; counted modulo 2^32. */
  dropped(): number;
}

/** How a frame thread sends datagrams (src/linux/native/udp-sender.ts). */
export interface DatagramSender {
  /**
   * Sends the spans of `parts` as datagrams of `segmentBytes` each, the last one perhaps shorter.
   *
   * @param spans how many spans make one datagram
   * @returns the count of bytes, or minus errno: ENETUNREACH or EINVAL where this host does not have the address of
   *   `path.source`
   */
  send(parts: IoVector, segmentBytes: number, spans: number, path: SendPath): number;
  close(): void;
}
