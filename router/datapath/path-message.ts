/**
 * A message between the two ends of a path, sealed in a datagram of its own: `type u8 · before u8 · size u16 · id u32`,
 * little-endian. A ping is as large as the datagrams that it proves. A pong is small, and reports the size received.
 */
export interface PathMessage {
  readonly type: "ping" | "pong";
  readonly id: number;
  /** UDP payload of the ping, in bytes. */
  readonly datagramBytes: number;
  /** In a ping: whether the previous ping was answered. If so, the receiver of this ping has a proof of the path. */
  readonly before?: "answered" | "unanswered" | undefined;
}

const PING = 1;
const PONG = 2;
const ANSWERED = 1;
const UNANSWERED = 2;
export const PATH_MESSAGE_BYTES = 8;

export function encodePathMessage({ type, id, datagramBytes, before }: PathMessage): Uint8Array {
  const bytes = new Uint8Array(PATH_MESSAGE_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = type === "ping" ? PING : PONG;
  bytes[1] = before === undefined ? 0 : before === "answered" ? ANSWERED : UNANSWERED;
  view.setUint16(2, datagramBytes, true);
  view.setUint32(4, id, true);
  return bytes;
}

/** Decodes a path message; undefined when `bytes` is none. */
export function decodePathMessage(bytes: Uint8Array): PathMessage | undefined {
  if (bytes.length < PATH_MESSAGE_BYTES || (bytes[0] !== PING && bytes[0] !== PONG)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    type: bytes[0] === PING ? "ping" : "pong",
    before: bytes[1] === ANSWERED ? "answered" : bytes[1] === UNANSWERED ? "unanswered" : undefined,
    datagramBytes: view.getUint16(2, true),
    id: view.getUint32(4, true),
  };
}
