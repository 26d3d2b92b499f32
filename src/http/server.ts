import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Server as NetServer } from "node:net";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** A client that needs longer to send its request is cut off. */
const REQUEST_MS = 30_000;
const MAX_HEADERS = 64;

/**
 * Handles one request, and answers it. Never rejects.
 *
 * @param signal aborted when the client has closed the connection before its answer was complete
 */
export type Serve = (request: IncomingMessage, response: ServerResponse, signal: AbortSignal) => Promise<void>;

/** An HTTP server with bounded requests, which survives what its clients do. @param name for the log */
export function httpServer(name: string, log: Log, serve: Serve): Server {
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS }, (request, response) => {
    const gone = new AbortController();
    response.on("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    response.on("error", () => {});
    void serve(request, response, gone.signal);
  });
  server.maxHeadersCount = MAX_HEADERS;
  surviveErrors(server, name, log);
  return server;
}

/**
 * Keeps a listening server alive when it cannot accept a connection, for lack of descriptors, say. Errors before it listens are for its
 * caller.
 */
export function surviveErrors(server: NetServer, name: string, log: Log): void {
  server.once("listening", () => {
    server.on("error", (error) => log.warn(`${name} cannot accept a connection`, { why: errorText(error) }));
  });
}
