import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Server as NetServer } from "node:net";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Limit for a client to send its request. */
const REQUEST_MS = 30_000;
/** Maximum number of headers of a request. */
const MAX_HEADERS = 64;

/**
 * Answers one request. Never rejects.
 *
 * @param signal aborted when the client closes the connection before the answer is complete
 */
export type Serve = (request: IncomingMessage, response: ServerResponse, signal: AbortSignal) => Promise<void>;

/** Makes an HTTP server that limits requests and survives errors of its clients. @param name for the log */
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
 * Logs errors of a listening server, for example when it cannot accept a connection for lack of descriptors. Without this an
 * error would end the process. Errors before the server listens are left to the caller.
 */
export function surviveErrors(server: NetServer, name: string, log: Log): void {
  server.once("listening", () => {
    server.on("error", (error) => log.warn(`${name} cannot accept a connection`, { why: errorText(error) }));
  });
}
