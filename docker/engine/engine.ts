import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { type ZodMiniType, z } from "zod/mini";
import { EngineAgent } from "#docker/engine/connection.js";
import { type EngineAddress, engineAddressText } from "#docker/engine/engine-address.js";
import {
  askedShape,
  type Container,
  containerShape,
  type Image,
  imageShape,
  infoShape,
  type Network,
  networkShape,
  summaryShape,
  versionShape,
} from "#docker/engine/shapes.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";

/** The newest API that we know; every engine from 25 to 29 and later takes it, older ones say what they take. */
const NEWEST = "1.44";
const OLDEST = "1.24";
const TIMEOUT_MS = 10_000;
/** Longer than any list of containers: 10,000 of them with all their labels. */
const MAX_ANSWER = 64 << 20;

export interface Call {
  readonly method?: string;
  /** Without the version. */
  readonly path: string;
  readonly body?: unknown;
  /** Undefined for {@link TIMEOUT_MS}; 0 for none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The engine said no. */
export class EngineError extends WeaveError {
  readonly status: number;

  constructor(status: number, message: string) {
    super("WEAVE_DOCKER", message);
    this.status = status;
  }
}

/** Client of a Docker engine's API, as much of it as we need. The version is agreed on with each engine anew. */
export class Engine {
  readonly endpoint: EngineAddress;
  readonly #agent: EngineAgent;
  #version: string | undefined;
  #mapped: Promise<boolean> | undefined;
  #offered: string | undefined;

  constructor(endpoint: EngineAddress) {
    this.endpoint = endpoint;
    this.#agent = new EngineAgent(endpoint, { keepAlive: false });
  }

  /** The API version agreed on, once there was an answer. */
  get version(): string | undefined {
    return this.#version;
  }

  /** The newest version that the engine offers, once there was an answer. */
  get offered(): string | undefined {
    return this.#offered;
  }

  /**
   * Agrees on a version with whatever engine answers now: after a restart it may be another.
   *
   * @throws WEAVE_DOCKER
   */
  async negotiate(): Promise<string> {
    const response = await this.#send({ path: "/_ping", timeoutMs: 3_000 }, "");
    await readAll(response);
    this.#mapped = undefined;
    const offered = String(response.headers["api-version"] ?? OLDEST);
    this.#offered = offered;
    this.#version = compareVersions(offered, NEWEST) <= 0 ? offered : await this.#notTooOld();
    if (compareVersions(this.#version, OLDEST) < 0) {
      const found = this.#version;
      this.#version = undefined;
      throw new WeaveError("WEAVE_DOCKER", `the Docker engine's API ${found} is too old: ${OLDEST} is needed`, {
        next: "Upgrade Docker to 1.12 or later.",
      });
    }
    return this.#version;
  }

  /** Engines drop old versions; should {@link NEWEST} be among them, what they call their oldest serves as well. */
  async #notTooOld(): Promise<string> {
    const { MinAPIVersion } = await this.#json({ path: "/version" }, versionShape, "");
    return MinAPIVersion !== "" && compareVersions(MinAPIVersion, NEWEST) > 0 ? MinAPIVersion : NEWEST;
  }

  /** @throws EngineError with status 404 when there is none of that id or name */
  container(id: string, signal?: AbortSignal): Promise<Container> {
    return this.#json({ path: `/containers/${encodeURIComponent(id)}/json`, signal }, containerShape);
  }

  /** Ids of all containers that run. */
  async running(): Promise<string[]> {
    return (await this.#json({ path: "/containers/json" }, z.array(summaryShape))).map(({ Id }) => Id);
  }

  /** Ids of containers that have ended, or never ran. */
  async ended(): Promise<string[]> {
    const filters = encodeURIComponent(JSON.stringify({ status: ["exited", "created"] }));
    return (await this.#json({ path: `/containers/json?all=1&filters=${filters}` }, z.array(summaryShape))).map(
      ({ Id }) => Id,
    );
  }

  /** Whether containers have a user namespace of their own (`userns-remap`, rootless). Asked of each engine once. */
  async userNamespaces(): Promise<boolean> {
    this.#mapped ??= this.#json({ path: "/info" }, infoShape).then(({ SecurityOptions }) =>
      SecurityOptions.some((each) => /^name=(userns|rootless)\b/.test(each)),
    );
    const asked = this.#mapped;
    return asked.catch((error) => {
      if (this.#mapped === asked) this.#mapped = undefined;
      throw error;
    });
  }

  /** All containers, whether they run or not, and the IPv4 addresses that each asks for by `--ip`. */
  async addressesAskedFor(): Promise<{ id: string; addresses: string[] }[]> {
    const containers = await this.#json({ path: "/containers/json?all=1" }, z.array(askedShape));
    return containers.map(({ Id, NetworkSettings }) => ({
      id: Id,
      addresses: Object.values(NetworkSettings?.Networks ?? {})
        .map((end) => end?.IPAMConfig?.IPv4Address ?? "")
        .filter((address) => address !== ""),
    }));
  }

  /** What this engine is in a swarm; undefined where it is in none. */
  async swarm(): Promise<"manager" | "worker" | undefined> {
    const { Swarm } = await this.#json({ path: "/info" }, infoShape);
    if (!["active", "pending", "locked"].includes(Swarm.LocalNodeState)) return undefined;
    return Swarm.ControlAvailable ? "manager" : "worker";
  }

  start(id: string): Promise<void> {
    return this.#done({ method: "POST", path: `/containers/${id}/start`, timeoutMs: 60_000 });
  }

  kill(id: string): Promise<void> {
    return this.#done({ method: "POST", path: `/containers/${id}/kill` });
  }

  image(name: string): Promise<Image> {
    // Slashes are part of a name.
    return this.#json({ path: `/images/${encodeURIComponent(name).replaceAll("%2F", "/")}/json` }, imageShape);
  }

  networks(): Promise<Network[]> {
    return this.#json({ path: "/networks" }, z.array(networkShape));
  }

  /** @param id or name */
  network(id: string): Promise<Network> {
    return this.#json({ path: `/networks/${encodeURIComponent(id)}` }, networkShape);
  }

  createNetwork(body: object): Promise<void> {
    // The engine calls our plugin meanwhile, and may wait for it.
    return this.#done({ method: "POST", path: "/networks/create", body, timeoutMs: 60_000 });
  }

  removeNetwork(id: string): Promise<void> {
    return this.#done({ method: "DELETE", path: `/networks/${encodeURIComponent(id)}`, timeoutMs: 60_000 });
  }

  /** The stream of events of containers and networks, as it comes. */
  events(signal: AbortSignal): Promise<IncomingMessage> {
    const filters = encodeURIComponent(JSON.stringify({ type: ["container", "network"] }));
    return this.#good({ path: `/events?filters=${filters}`, timeoutMs: 0, signal });
  }

  async #json<T>(call: Call, shape: ZodMiniType<T>, prefix?: string): Promise<T> {
    const response = await this.#good(call, prefix);
    let value: unknown;
    try {
      value = JSON.parse((await readAll(response)).toString("utf8"));
    } catch (cause) {
      if (cause instanceof WeaveError) throw cause;
      throw new WeaveError("WEAVE_DOCKER", `the Docker engine's answer to ${call.path} is no JSON`, { cause });
    }
    const parsed = shape.safeParse(value);
    if (parsed.success) return parsed.data;
    const { path, message } = parsed.error.issues[0];
    throw new WeaveError("WEAVE_DOCKER", `the Docker engine's answer to ${call.path}: ${path.join(".")}: ${message}`);
  }

  async #done(call: Call): Promise<void> {
    await readAll(await this.#good(call));
  }

  async #good(call: Call, prefix?: string): Promise<IncomingMessage> {
    if (prefix === undefined && this.#version === undefined) await this.negotiate();
    const response = await this.#send(call, prefix ?? `/v${this.#version}`);
    const status = response.statusCode ?? 0;
    if (status < 400) return response;
    const body = (await readAll(response)).toString("utf8");
    throw new EngineError(status, messageOf(body) || `the Docker engine answered ${status}`);
  }

  /** Resolves with the head of the answer. */
  #send(
    { method = "GET", path, body, timeoutMs = TIMEOUT_MS, signal }: Call,
    prefix: string,
  ): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const options: RequestOptions = {
      method,
      path: `${prefix}${path}`,
      agent: this.#agent,
      headers: {
        Host: "docker",
        ...(text === undefined
          ? {}
          : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }),
      },
      ...(signal ? { signal } : {}),
    };
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(options, (response) => {
        // An answer that stops midway must not be waited for.
        if (timeoutMs > 0) response.once("close", () => clearTimeout(timer));
        else clearTimeout(timer);
        resolve(response);
      });
      const timer =
        timeoutMs > 0
          ? setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)), timeoutMs)
          : undefined;
      outgoing.on("error", (cause) => {
        clearTimeout(timer);
        reject(unreachable(this.endpoint, cause));
      });
      outgoing.end(text);
    });
  }
}

export function unreachable(endpoint: EngineAddress, cause: unknown): WeaveError {
  const gone = ["ECONNREFUSED", "ENOENT"].includes(systemCode(cause) ?? "");
  return new WeaveError(
    "WEAVE_DOCKER_UNAVAILABLE",
    `Cannot connect to the Docker engine at ${engineAddressText(endpoint)}: ${gone ? "nothing answers there" : errorText(cause)}`,
    { cause, next: "Is Docker running? Another address is given by --docker-api of 'weave launch', or DOCKER_HOST." },
  );
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER)
        throw new WeaveError("WEAVE_DOCKER", `the Docker engine's answer is longer than ${MAX_ANSWER} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof WeaveError) throw cause;
    throw new WeaveError("WEAVE_DOCKER_UNAVAILABLE", `the Docker engine broke off its answer: ${errorText(cause)}`, {
      cause,
    });
  }
  return Buffer.concat(chunks);
}

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // Old engines answer in plain text.
  }
  return body.trim().slice(0, 1_000);
}

/** Of two API versions, such as 1.9 and 1.44. Below 0: `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  return x[0] - y[0] || (x[1] ?? 0) - (y[1] ?? 0);
}
