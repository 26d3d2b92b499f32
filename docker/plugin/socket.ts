import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ZodMiniType } from "zod/mini";
import { errorText, WeaveError } from "#src/errors.js";
import { httpStatus } from "#src/http/error-status.js";
import { freeSocketPath } from "#src/linux/unix-socket.js";
import type { Log } from "#src/log.js";
import { readBody } from "#src/request-body.js";
import { surviveErrors } from "#src/server-errors.js";

/** The largest call, a network with thousands of auxiliary addresses, stays far below. */
const MAX_BODY = 1 << 20;
const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";

export interface PluginAnswer {
  readonly body: object;
  /** Takes back what was done, when nobody is there any more to hear the answer. */
  readonly undo?: () => void | Promise<void>;
}

export interface Method {
  /** The key of an error: network drivers and IPAM drivers differ in it. */
  readonly errorKey: "Err" | "Error";
  handle(body: unknown, signal: AbortSignal): Promise<PluginAnswer> | PluginAnswer;
}

/** `/NetworkDriver.Join` and so on. */
export type Methods = Readonly<Record<string, Method>>;

/** A method of a given shape. */
export function method<T>(
  errorKey: Method["errorKey"],
  shape: ZodMiniType<T>,
  handle: (call: T, signal: AbortSignal) => Promise<PluginAnswer | object> | PluginAnswer | object,
): Method {
  return {
    errorKey,
    async handle(body, signal) {
      const parsed = shape.safeParse(body);
      if (!parsed.success) {
        const { path, message } = parsed.error.issues[0];
        throw new WeaveError(
          "WEAVE_PLUGIN_CALL",
          `invalid call of the plugin: ${path.join(".") || "body"}: ${message}`,
        );
      }
      const answer = await handle(parsed.data, signal);
      return "body" in answer ? answer : { body: answer };
    },
  };
}

/**
 * A plugin's Unix socket. What is called and unknown is 404: so Docker finds out what a driver does not have.
 *
 * @throws WEAVE_PLUGIN when the path is taken by something that lives, or is no socket
 */
export async function openPluginSocket(path: string, methods: Methods, log: Log): Promise<Server> {
  await makeWay(path);
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 30_000 }, (request, response) => {
    const gone = new AbortController();
    response.on("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    response.on("error", () => {});
    void serve(methods, request, response, gone.signal, log);
  });
  server.maxHeadersCount = 64;
  surviveErrors(server, "the plugin's socket", log);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new WeaveError("WEAVE_PLUGIN", `cannot listen on the plugin socket ${path}: ${cause.message}`, { cause })),
    );
    server.listen(path, resolve);
  });
  return server;
}

async function makeWay(path: string): Promise<void> {
  switch (await freeSocketPath(path)) {
    case "free":
      return;
    case "no socket":
      throw new WeaveError("WEAVE_PLUGIN", `there is something at ${path} that is no socket`, {
        next: "Remove it, or choose another path with --plugin-socket and --plugin-mesh-socket.",
      });
    case "in use":
      throw new WeaveError("WEAVE_PLUGIN", `another process serves the plugin socket ${path}`, {
        next: "Is another weave running on this host? See 'ss -lxp'; --docker-api= launches without Docker.",
      });
  }
}

async function serve(
  methods: Methods,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  const name = request.url ?? "";
  const found = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (found === undefined) return send(response, 404, { Err: `weave has no ${name.slice(0, 100)}` });
  if (request.method !== "POST") return send(response, 405, { [found.errorKey]: "plugin calls are POST" });
  const began = performance.now();
  try {
    const { body, undo } = await found.handle(parseBody(await readBody(request, MAX_BODY)), signal);
    log.debug("Docker called", { call: name, ms: Math.round(10 * (performance.now() - began)) / 10 });
    if (signal.aborted && undo !== undefined) {
      log.info("Docker did not wait for an answer; it was taken back", { call: name });
      await undo();
    }
    send(response, 200, body);
  } catch (error) {
    if (signal.aborted) return;
    log.warn("a call of Docker's failed", { call: name, why: errorText(error) });
    const status = httpStatus(error);
    const text = errorText(error).replaceAll("\n", " ");
    // Docker reads the driver's own key from an answer of 200 alone, and `Err` from all others.
    send(response, status, { Err: text, [found.errorKey]: text });
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  // What is left of a request that was refused is not read: the connection has no further use.
  if (status === 413) response.setHeader("Connection", "close");
  response.writeHead(status, { "Content-Type": CONTENT_TYPE, "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

function parseBody(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WeaveError("WEAVE_PLUGIN_CALL", "the body of the call is no JSON", { cause });
  }
}
