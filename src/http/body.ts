import type { IncomingMessage } from "node:http";
import { WeaveError } from "#src/errors.js";

/** The beginning of a message's body. */
interface BodyPrefix {
  readonly bytes: Buffer;
  /** False if the body has more bytes, which were not read. */
  readonly complete: boolean;
}

/**
 * Reads a message's body up to a limit. A longer message is no error: it is paused, and its rest is not read. The caller forwards,
 * answers or destroys it.
 *
 * @param max limit in bytes; the result exceeds it by at most one chunk
 * @throws the stream's own error when the other end closes the connection midway
 */
export function readPrefix(message: IncomingMessage, max: number): Promise<BodyPrefix> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const settle = (complete: boolean) => {
      message.off("data", onData).off("end", onEnd).off("error", reject).off("close", onClose);
      resolve({ bytes: Buffer.concat(chunks), complete });
    };
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length <= max) return;
      message.pause();
      settle(false);
    };
    const onEnd = () => settle(true);
    const onClose = () => reject(new Error("the connection was closed before the message was complete"));
    message.on("data", onData).on("end", onEnd).on("error", reject).on("close", onClose);
    // An earlier call may have paused the message.
    message.resume();
  });
}

/**
 * Reads a message's whole body. A longer message is left paused and its connection open, so that a server can answer it.
 *
 * @param max limit in bytes
 * @throws WEAVE_MESSAGE_TOO_LARGE; the stream's own error when the other end closes the connection midway
 */
export async function readBody(message: IncomingMessage, max: number): Promise<Buffer> {
  const { bytes, complete } = await readPrefix(message, max);
  if (complete) return bytes;
  const what = typeof message.method === "string" ? "request" : "response";
  throw new WeaveError("WEAVE_MESSAGE_TOO_LARGE", `the ${what} body is longer than ${max} bytes`);
}
