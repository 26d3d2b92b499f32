import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { ZodMiniType } from "zod/mini";
import { errorText, WeaveError } from "#src/errors.js";
import { type Answer, sendAnswer } from "#src/http/answer.js";
import { readBody } from "#src/http/body.js";
import { httpStatus } from "#src/http/error-status.js";
import { listen } from "#src/http/listen.js";
import { httpServer } from "#src/http/server.js";
import type { Log } from "#src/log.js";

/** The largest call, a network with thousands of auxiliary addresses, stays far below. */
const MAX_BODY = 1 << 20;
const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";

export interface PluginAnswer {
  readonly body: object;
  /** Takes back what was done, when the client no longer waits for the answer. */
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
 * Opens a plugin's Unix socket. An unknown method is answered by 404: so Docker learns what a driver does not have.
 *
 * @throws WEAVE_PLUGIN when another process serves the path, or it is no socket
 */
export async function openPluginSocket(path: string, methods: Methods, log: Log): Promise<Server> {
  const server = httpServer("the plugin's socket", log, (request, response, signal) =>
    serve({ methods, request, log }, response, signal),
  );
  await listen(
    server,
    { path },
    {
      name: "the Docker plugin",
      remedy: "Or give --plugin-socket and --plugin-mesh-socket; --docker-api= launches without Docker.",
      code: "WEAVE_PLUGIN",
    },
  );
  return server;
}

interface PluginCall {
  readonly methods: Methods;
  readonly request: IncomingMessage;
  readonly log: Log;
}

async function serve(call: PluginCall, response: ServerResponse, signal: AbortSignal): Promise<void> {
  const answer = await answerTo(call, signal);
  if (answer !== undefined) sendAnswer(response, answer);
}

/** @returns undefined when the client has closed the connection after a failure */
async function answerTo({ methods, request, log }: PluginCall, signal: AbortSignal): Promise<Answer | undefined> {
  const name = request.url ?? "";
  const found = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (found === undefined) return pluginAnswer(404, { Err: `weave has no ${name.slice(0, 100)}` });
  if (request.method !== "POST") return pluginAnswer(405, { [found.errorKey]: "plugin calls are POST" });
  const began = performance.now();
  try {
    const { body, undo } = await found.handle(parseBody(await readBody(request, MAX_BODY)), signal);
    log.debug("Docker called", { call: name, ms: Math.round(10 * (performance.now() - began)) / 10 });
    if (signal.aborted && undo !== undefined) {
      log.info("Docker did not wait for an answer; it was taken back", { call: name });
      await undo();
    }
    return pluginAnswer(200, body);
  } catch (error) {
    if (signal.aborted) return undefined;
    log.warn("a call of Docker's failed", { call: name, why: errorText(error) });
    const status = httpStatus(error);
    const text = errorText(error).replaceAll("\n", " ");
    // Docker reads the driver's own key from an answer of 200 alone, and `Err` from all others.
    return pluginAnswer(status, { Err: text, [found.errorKey]: text });
  }
}

const pluginAnswer = (status: number, body: object): Answer => ({
  status,
  type: CONTENT_TYPE,
  body: JSON.stringify(body),
});

function parseBody(bytes: Buffer): unknown {
  const text = bytes.toString("utf8");
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WeaveError("WEAVE_PLUGIN_CALL", "the body of the call is no JSON", { cause });
  }
}
