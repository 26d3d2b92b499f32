import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Attacher } from "#docker/containers/attacher.js";
import type { ContainerTracker } from "#docker/containers/container-tracker.js";
import type { Engine } from "#docker/engine/engine.js";
import { type Container, wordsOf } from "#docker/engine/shapes.js";
import { callText } from "#docker/proxy/call-text.js";
import {
  type CreateContext,
  rewriteCommit,
  rewriteCreate,
  searchOf,
  withDns,
  withHelper,
} from "#docker/proxy/create.js";
import { isObject, type JsonObject, parseExact, stringifyExact, stringsOf } from "#docker/proxy/json.js";
import { answerError, answerWith, sendOn } from "#docker/proxy/pipe.js";
import { waitFolderOf } from "#docker/wait/helper.js";
import { isWrapped } from "#docker/wait/wrapped.js";
import { errorText, WeaveError } from "#src/errors.js";
import { inspectNamespace } from "#src/linux/netns/inspect.js";
import { findNetns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";

/** Longer bodies of calls that we change do not exist; should there be one, it passes as it is. */
const MAX_BODY = 4 << 20;
/** Longer than any wait for an address; the answer to a start has an end also where an engine does not answer our own calls. */
const START_MS = 40_000;
/** The wait of `docker exec` for the network of its container has an end: after a failure one wants to look around in there. */
const EXEC_MS = 20_000;
const PREFIX = "(?:/v[\\d.]+)?";
const CREATE = new RegExp(`^${PREFIX}/containers/create$`);
const START = new RegExp(`^${PREFIX}/containers/([^/]+)/(?:start|restart)$`);
const INSPECT = new RegExp(`^${PREFIX}/containers/([^/]+)/json$`);
const EXEC = new RegExp(`^${PREFIX}/containers/([^/]+)/exec$`);
const COMMIT = new RegExp(`^${PREFIX}/commit$`);
const INSPECT_EXEC = new RegExp(`^${PREFIX}/exec/([^/]+)/json$`);

export interface RewriterDeps {
  readonly engine: Engine;
  readonly containers: ContainerTracker;
  readonly attacher: Attacher;
  readonly create: () => Promise<CreateContext>;
  readonly rewriteInspect: boolean;
  readonly log: Log;
}

/** The calls that are changed on their way to the engine, or back. */
export class Rewriter {
  readonly #parts: RewriterDeps;

  constructor(parts: RewriterDeps) {
    this.#parts = parts;
  }

  /** @returns false: the call is none of ours; nothing of it was read */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { method } = request;
    const path = (request.url ?? "").split("?")[0];
    const inspects = this.#parts.rewriteInspect && method === "GET";
    if (method === "POST" && CREATE.test(path)) await this.#create(request, response);
    else if (method === "POST" && START.test(path))
      await this.#start(request, response, decodeURIComponent(START.exec(path)![1]));
    else if (method === "POST" && EXEC.test(path))
      await this.#exec(request, response, decodeURIComponent(EXEC.exec(path)![1]));
    else if (method === "POST" && COMMIT.test(path)) await this.#commit(request, response);
    else if (inspects && INSPECT.test(path)) await this.#inspect(request, response, (answer) => answer);
    else if (inspects && INSPECT_EXEC.test(path)) await this.#inspect(request, response, ({ Container }) => Container);
    else return false;
    return true;
  }

  async #create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = new URL(request.url ?? "/", "http://docker").searchParams.get("name") ?? "";
    let warnings: readonly string[] = [];
    const body = await this.#changed(request, async (given) => {
      const created = await rewriteCreate(given, name, await this.#parts.create());
      warnings = created.warnings;
      return created.body;
    });
    const incoming = await sendOn({ endpoint: this.#parts.engine.endpoint, request, body: body.body });
    const all = [...warnings, ...(body.warning === undefined ? [] : [body.warning])];
    if (all.length === 0 || incoming.statusCode !== 201) return answerWith(incoming, response);
    const answer = await readJson(incoming);
    if (answer.json !== undefined) answer.json.Warnings = [...stringsOf(answer.json.Warnings), ...all];
    answerWith(incoming, response, answer.json === undefined ? answer.bytes : bytesOf(answer.json));
  }

  /** The answer is held until the container is on the network, or cannot be. */
  async #start(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    const { engine, containers, attacher } = this.#parts;
    const container = await engine.container(name).catch(() => undefined);
    // Clients before API 1.24 give a HostConfig here, which replaces that of the creation.
    const body = await this.#changed(request, async (given) => {
      if (Object.keys(given).length === 0 || container === undefined || !isWrapped(container)) return undefined;
      const context = await this.#parts.create();
      const folder = waitFolderOf(wordsOf(container.Config.Entrypoint))!;
      return withDns(withHelper(given, context.helper, folder), context, searchOf({ ...container.Config }, context));
    });
    if (container !== undefined) attacher.expect(container.Id);
    let incoming: IncomingMessage;
    try {
      incoming = await sendOn({ endpoint: engine.endpoint, request, body: body.body });
      if (container !== undefined && incoming.statusCode === 204)
        await Promise.race([
          containers.started(container.Id).catch(() => {}),
          isWrapped(container) ? attacher.givenUp(container.Id, START_MS) : sleep(START_MS, undefined, { ref: false }),
        ]);
    } finally {
      if (container !== undefined) await this.#settle(container, response);
    }
    if (response.headersSent) incoming.resume();
    else answerWith(incoming, response);
  }

  async #settle({ Id }: Container, response: ServerResponse): Promise<void> {
    try {
      this.#parts.attacher.outcome(Id);
    } catch (error) {
      await this.#parts.engine.kill(Id).catch(() => {});
      answerError(response, 500, `the container could not be put on the weave network: ${errorText(error)}`);
    }
  }

  /** A command in a container that waits must wait too; but not for a network that does not come. */
  async #exec(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    const { engine, attacher } = this.#parts;
    const container = await engine.container(name).catch(() => undefined);
    if (container?.State.Running) await attacher.settled(container, EXEC_MS);
    answerWith(await sendOn({ endpoint: engine.endpoint, request }), response);
  }

  /** What is made of a container of ours runs without us. */
  async #commit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { engine } = this.#parts;
    const name = new URL(request.url ?? "/", "http://docker").searchParams.get("container") ?? "";
    const body = await this.#changed(request, async (given) => {
      const container = await engine.container(name).catch(() => undefined);
      return container && rewriteCommit(given, container);
    });
    answerWith(await sendOn({ endpoint: engine.endpoint, request, body: body.body }), response);
  }

  async #inspect(
    request: IncomingMessage,
    response: ServerResponse,
    containerOf: (answer: JsonObject) => unknown,
  ): Promise<void> {
    const incoming = await sendOn({ endpoint: this.#parts.engine.endpoint, request });
    if (incoming.statusCode !== 200) return answerWith(incoming, response);
    const { json, bytes } = await readJson(incoming);
    const container = json === undefined ? undefined : containerOf(json);
    const rewritten = isObject(container) && (await rewriteAddresses(container).catch(() => false));
    answerWith(incoming, response, rewritten ? bytesOf(json!) : bytes);
  }

  /**
   * The body of a call, changed; or as it was, when there is nothing to change or it cannot be.
   *
   * @param change what to send in its place; undefined for what came
   */
  async #changed(
    request: IncomingMessage,
    change: (given: JsonObject) => Promise<JsonObject | undefined>,
  ): Promise<{ body?: Buffer; warning?: string }> {
    const { bytes, json, whole } = await readJson(request);
    if (!whole) {
      this.#parts.log.warn("the body of a call was too long to be changed; it was passed on", {
        call: callText(request),
      });
      request.unshift(bytes);
      return {
        warning: `this container is not on the weave network: its description is longer than ${MAX_BODY} bytes`,
      };
    }
    if (json === undefined) return { body: bytes };
    try {
      const changed = await change(json);
      return { body: changed === undefined ? bytes : bytesOf(changed) };
    } catch (error) {
      // The user's own mistake is for the user to mend.
      if (error instanceof WeaveError && error.code === "WEAVE_ADDRESS_INVALID") throw error;
      const why = errorText(error);
      this.#parts.log.warn("a call was passed on as it came", { call: callText(request), why });
      return { body: bytes, warning: `this container is not on the weave network: ${why.replaceAll("\n", " ")}` };
    }
  }
}

const bytesOf = (value: JsonObject): Buffer => Buffer.from(stringifyExact(value));

/** @returns `whole` false: it is longer than we take, and `bytes` is its beginning; `json` undefined: it is no object */
async function readJson(
  message: IncomingMessage,
): Promise<{ bytes: Buffer; json: JsonObject | undefined; whole: boolean }> {
  const chunks: Buffer[] = [];
  let length = 0;
  const whole = await new Promise<boolean>((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_BODY) {
        message.pause();
        done();
        resolve(false);
      }
    };
    const onEnd = () => {
      done();
      resolve(true);
    };
    const onGone = () => {
      done();
      reject(new Error("it broke off midway"));
    };
    const done = () => {
      message.off("data", onData);
      message.off("end", onEnd);
      message.off("close", onGone);
      message.off("error", onGone);
    };
    message.on("data", onData);
    message.on("end", onEnd);
    message.on("close", onGone);
    message.on("error", onGone);
  });
  const bytes = Buffer.concat(chunks);
  if (!whole) return { bytes, json: undefined, whole };
  try {
    // Clients leave out a body in which nothing stands, or write `null`.
    const json = bytes.length === 0 ? {} : (parseExact(bytes.toString("utf8")) ?? {});
    return { bytes, json: isObject(json) ? json : undefined, whole };
  } catch {
    return { bytes, json: undefined, whole };
  }
}

/** Old tools look for a container's address here. @returns whether it is on the network */
async function rewriteAddresses(container: JsonObject): Promise<boolean> {
  const { State, NetworkSettings } = container;
  if (!isObject(State) || !isObject(NetworkSettings) || typeof State.Pid !== "number" || State.Pid === 0) return false;
  const attached = await inspectNamespace(findNetns(String(State.Pid)));
  const first = attached?.addresses[0]?.split("/");
  if (attached === undefined || first === undefined) return false;
  Object.assign(NetworkSettings, {
    MacAddress: attached.mac,
    IPAddress: first[0],
    IPPrefixLen: Number(first[1]),
  });
  return true;
}
