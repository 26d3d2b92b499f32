import { chmodSync, rmSync } from "node:fs";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Answer, Route } from "#router/route.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { readBody } from "#src/request-body.js";
import { surviveErrors } from "#src/server-errors.js";

/** A form with a thousand peer names fits; nothing that we take is larger. */
const MAX_BODY = 256 << 10;
const REQUEST_MS = 30_000;

/**
 * Decides about one request, before its body is read.
 *
 * @param changes whether the request would change anything
 * @returns the answer that refuses it, or undefined
 */
export type Access = (headers: IncomingHttpHeaders, changes: boolean) => Answer | undefined;

/**
 * A plain HTTP server over a table of routes: unknown paths are 404, known ones with another method 405.
 *
 * @param routes undefined while the router is starting: the answer is 503 then
 * @param access who may do what
 */
export function createApi(routes: () => readonly Route[] | undefined, log: Log, access: Access): Server {
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS }, (request, response) => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    // Whoever asked has gone.
    response.on("error", () => {});
    void serve(routes(), request, log, access, gone.signal).then((answer) => {
      log.debug("the control API was called", {
        call: `${request.method} ${request.url?.split("?")[0].slice(0, 200)}`,
        status: answer.status ?? 200,
      });
      reply(response, answer);
    });
  });
  server.maxHeadersCount = 64;
  surviveErrors(server, "the control API", log);
  return server;
}

async function serve(
  routes: readonly Route[] | undefined,
  incoming: IncomingMessage,
  log: Log,
  access: Access,
  signal: AbortSignal,
): Promise<Answer> {
  const refused = access(incoming.headers, false);
  if (refused !== undefined) return refused;
  if (routes === undefined) return { status: 503, body: "weave is starting\n" };
  // Browsers send it, our clients never do: a page that a user happens to look at must not steer the router.
  if (incoming.headers.origin !== undefined) return { status: 403, body: "requests from web pages are refused\n" };
  try {
    const url = new URL(incoming.url ?? "/", "http://weave");
    const matching = routes.filter(({ pattern }) => pattern.test(url.pathname));
    if (matching.length === 0) return { status: 404, body: "404 page not found\n" };
    const method = incoming.method === "HEAD" ? "GET" : incoming.method;
    const route = matching.find((candidate) => candidate.method === method);
    if (route === undefined) return { status: 405, body: "Method Not Allowed\n" };
    const forbidden = access(incoming.headers, route.changes);
    if (forbidden !== undefined) return forbidden;
    const form = new URLSearchParams(url.search);
    for (const [key, value] of new URLSearchParams(await readBody(incoming, MAX_BODY))) form.append(key, value);
    const segments = route.pattern.exec(url.pathname)!.slice(1).map(decodeURIComponent);
    return await route.handle({
      method: route.method,
      path: url.pathname,
      params: Object.fromEntries(route.names.map((name, index) => [name, segments[index]])),
      form,
      accept: incoming.headers.accept ?? "",
      signal,
    });
  } catch (error) {
    if (error instanceof WeaveError) return { status: error.http, body: `${error.text}\n` };
    if (error instanceof URIError || systemCode(error) === "ERR_INVALID_URL")
      return { status: 400, body: "the path is not valid\n" };
    log.error("a request failed", { path: incoming.url?.split("?")[0].slice(0, 200), why: errorText(error) });
    return { status: 500, body: `${errorText(error)}\n` };
  }
}

function reply(
  response: ServerResponse,
  { status = 200, type = "text/plain; charset=utf-8", body = "" }: Answer,
): void {
  if (status === 413) response.setHeader("Connection", "close");
  response.writeHead(status, body === "" ? {} : { "Content-Type": type });
  response.end(body);
}

/**
 * Listens at `host:port`, or at a Unix socket when the address is an absolute path (a stale one is replaced).
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_FLAG_INVALID
 */
export async function listen(server: Server, address: string): Promise<void> {
  const socket = address.startsWith("/");
  const match = /^(.*):(\d{1,5})$/.exec(address);
  if (!socket && match === null) {
    throw new WeaveError("WEAVE_FLAG_INVALID", `'${address}' is no address to listen at`, {
      next: "Give host:port, such as 127.0.0.1:6784, or the absolute path of a Unix socket.",
    });
  }
  if (socket) rmSync(address, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const busy = systemCode(error) === "EADDRINUSE";
      reject(
        new WeaveError(
          busy ? "WEAVE_PORT_IN_USE" : "WEAVE_API",
          `cannot listen on ${address}: ${busy ? "another process uses it" : error.message}`,
          {
            cause: error,
            ...(busy
              ? { next: "Find it with 'ss -ltnp', or choose another address with --http-addr or --status-addr." }
              : {}),
          },
        ),
      );
    });
    const done = () => resolve();
    if (socket) server.listen(address, done);
    else server.listen(Number(match![2]), match![1] || "0.0.0.0", done);
  });
  if (socket) chmodSync(address, 0o600);
}
