import type { Server } from "node:net";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/**
 * Keeps a server that listens alive when it cannot accept a connection, for want of descriptors say. Errors before that are for whoever
 * made it listen.
 */
export function surviveErrors(server: Server, name: string, log: Log): void {
  server.once("listening", () => {
    server.on("error", (error) => log.warn(`${name} cannot accept a connection`, { why: errorText(error) }));
  });
}
