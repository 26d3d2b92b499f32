import type { IncomingHttpHeaders, IncomingMessage, Server } from "node:http";
import type { Answer, Route } from "#router/route.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { errorAnswer, sendAnswer } from "#src/http/answer.js";
import { readBody } from "#src/http/body.js";
import { listen, parseServerAddress } from "#src/http/listen.js";
import { httpServer } from "#src/http/server.js";
import type { Log } from "#src/log.js";

/** Maximum bytes of a request body: a form with a thousand peer names, the largest valid request, fits. */
const MAX_BODY = 256 << 10;

const NO_BYTES = Buffer.alloc(0);

/**
 * Controls access to one request, before its body is read.
 *
 * @param changes whether the request would change anything
 * @returns the answer that refuses it, or undefined
 */
export type Access = (headers: IncomingHttpHeaders, changes: boolean) => Answer | undefined;

/**
 * Creates an HTTP server for a table of routes. Unknown paths return 404, known paths with another method 405.
 *
 * @param routes undefined while the router is starting: the answer is then 503
 * @param access controls access to each request
 */
export function createApi(routes: () => readonly Route[] | undefined, log: Log, access: Access): Server {
  return httpServer("the control API", log, async (request, response, signal) => {
    const answer = await serve(routes(), request, log, access, signal);
    log.debug("the control API was called", {
      call: `${request.method} ${request.url?.split("?")[0].slice(0, 200)}`,
      status: answer.status ?? 200,
    });
    sendAnswer(response, answer);
  });
}

/** The answer to `GET /healthz`: the process lives, and its event loop works. It is also given while the router starts. */
export const ALIVE: Answer = { body: "alive\n" };
export const HEALTH_PATH = "/healthz";

const isHealthCall = ({ method, url }: IncomingMessage): boolean =>
  (method === "GET" || method === "HEAD") && url?.split("?")[0] === HEALTH_PATH;

async function serve(
  routes: readonly Route[] | undefined,
  incoming: IncomingMessage,
  log: Log,
  access: Access,
  signal: AbortSignal,
): Promise<Answer> {
  const refused = access(incoming.headers, false);
  if (refused !== undefined) return refused;
  if (routes === undefined) return isHealthCall(incoming) ? ALIVE : { status: 503, body: "weave is starting\n" };
  // Browsers send Origin, our clients do not. A web page must not control the router.
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
    const body = await readBody(incoming, route.rawBody ?? MAX_BODY);
    if (route.rawBody === undefined)
      for (const [key, value] of new URLSearchParams(body.toString("utf8"))) form.append(key, value);
    const segments = route.pattern.exec(url.pathname)!.slice(1).map(decodeURIComponent);
    return await route.handle({
      method: route.method,
      path: url.pathname,
      params: Object.fromEntries(route.names.map((name, index) => [name, segments[index]])),
      form,
      body: route.rawBody === undefined ? NO_BYTES : body,
      accept: incoming.headers.accept ?? "",
      lastEventId: String(incoming.headers["last-event-id"] ?? ""),
      bySocket: incoming.socket.remoteAddress === undefined,
      signal,
    });
  } catch (error) {
    if (error instanceof URIError || systemCode(error) === "ERR_INVALID_URL")
      return { status: 400, body: "the path is not valid\n" };
    if (!(error instanceof WeaveError))
      log.error("a request failed", { path: incoming.url?.split("?")[0].slice(0, 200), why: errorText(error) });
    return errorAnswer(error, incoming.headers.accept);
  }
}

/**
 * Listens at `host:port`, or at a Unix socket when the address is an absolute path. Only root can connect to the Unix socket.
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_FLAG_INVALID, WEAVE_API
 */
export async function listenApi(server: Server, address: string): Promise<void> {
  const remedy = "Choose another address with --http-addr, --status-addr, --metrics-addr or --page-addr.";
  await listen(server, parseServerAddress(address), { name: "the API", remedy, mode: 0o600 });
}
