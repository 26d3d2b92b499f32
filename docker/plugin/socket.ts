import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { ZodMiniType } from "zod/mini";
import { errorText, WeaveError } from "#src/errors.js";
import { type Answer, sendAnswer } from "#src/http/answer.js";
import { readBody } from "#src/http/body.js";
import { httpStatus } from "#src/http/error-status.js";
import { listen } from "#src/http/listen.js";
import { httpServer } from "#src/http/server.js";
import type { Log } from "#src/log.js";

/** Limit for the body of a call, in bytes: far above the largest, a network with thousands of auxiliary addresses. */
const MAX_BODY = 1 << 20;
const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";

/** Answer to a call. */
export interface PluginAnswer {
  readonly body: object;
  /** Undoes the call, if the client no longer waits for the answer. */
  readonly undo?: () => void | Promise<void>;
}

/** One method of the plugin. */
export interface Method {
  /** Key of an error in an answer: "Err" for network drivers, "Error" for IPAM drivers. */
  readonly errorKey: "Err" | "Error";
  handle(body: unknown, signal: AbortSignal): Promise<PluginAnswer> | PluginAnswer;
}

/** Methods by their paths, such as `/NetworkDriver.Join`. */
export type Methods = Readonly<Record<string, Method>>;

/** Creates a method that checks the body of a call. @param handle returns the answer, or only its body */
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
 * Opens a plugin's Unix socket. The answer to an unknown method is 404, which for Docker means that the driver does not implement it.
 *
 * @throws WEAVE_PLUGIN when another process serves the path, or the file is no socket
 */
export async function openPluginSocket(path: string, methods: Methods, log: Log): Promise<Server> {
  const server = httpServer("the plugin's socket", log, (request, response, signal) =>
    serve({ methods, request, log }, response, signal),
  );
  // Otherwise a call that begins while a kept connection is closed would be lost: see PluginSockets.close.
  server.maxRequestsPerSocket = 1;
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

/** Calls the method. @returns undefined when it fails and the client has closed the connection */
async function answerTo({ methods, request, log }: PluginCall, signal: AbortSignal): Promise<Answer | undefined> {
  const name = request.url ?? "";
  const found = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (found === undefined) return pluginAnswer(404, { Err: `weave has no ${name.slice(0, 100)}` });
  if (request.method !== "POST") return pluginAnswer(405, { [found.errorKey]: "plugin calls are POST" });
  const start = performance.now();
  try {
    const { body, undo } = await found.handle(parseBody(await readBody(request, MAX_BODY)), signal);
    log.debug("Docker called", { call: name, ms: Math.round(10 * (performance.now() - start)) / 10 });
    if (signal.aborted && undo !== undefined) {
      log.info("Docker did not wait for the answer; the call was undone", { call: name });
      await undo();
    }
    return pluginAnswer(200, body);
  } catch (error) {
    if (signal.aborted) return undefined;
    log.warn("a call of the Docker plugin failed", { call: name, why: errorText(error) });
    const status = httpStatus(error);
    const text = errorText(error).replaceAll(/\.?\n/g, ". ");
    // Docker reads the driver's own key from answers with status 200, and `Err` from all others.
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
