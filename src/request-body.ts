import type { IncomingMessage } from "node:http";
import { WeaveError } from "#src/errors.js";

/**
 * The whole body of a request, as text. One that is too long is read no further, and the connection is left open: the caller
 * is owed an answer that says so.
 *
 * @param max bytes
 * @throws WEAVE_MESSAGE_TOO_LARGE; the stream's own error when the caller goes away
 */
export function readBody(incoming: IncomingMessage, max: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > max) {
        reject(new WeaveError("WEAVE_MESSAGE_TOO_LARGE", `the request body is longer than ${max} bytes`));
        incoming.pause();
      } else chunks.push(chunk);
    });
    incoming.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    incoming.on("error", reject);
  });
}
