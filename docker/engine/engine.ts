import type { IncomingMessage } from "node:http";
import { type ZodMiniType, z } from "zod/mini";
import { EngineAgent } from "#docker/engine/connection.js";
import { type EngineAddress, engineAddressText } from "#docker/engine/engine-address.js";
import {
  type Container,
  containerShape,
  type Image,
  imageShape,
  infoShape,
  type Network,
  networkShape,
  requestedShape,
  summaryShape,
  versionShape,
} from "#docker/engine/shapes.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { JSON_TYPE } from "#src/http/answer.js";
import { readBody } from "#src/http/body.js";
import { openReply } from "#src/http/client.js";

/** Newest API version that we know. Engines from 25 to 29 and later accept it; older ones report what they accept. */
const NEWEST = "1.44";
const OLDEST = "1.24";
const TIMEOUT_MS = 10_000;
/** Longer than any list of containers: 10,000 of them with all their labels. */
const MAX_ANSWER = 64 << 20;

export interface EngineCall {
  readonly method?: string;
  /** Without the version. */
  readonly path: string;
  readonly body?: unknown;
  /** Limit for the whole answer; undefined for {@link TIMEOUT_MS}, 0 for none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The engine answered with an error. */
export class EngineError extends WeaveError {
  readonly status: number;

  constructor(status: number, message: string) {
    super("WEAVE_DOCKER", message);
    this.status = status;
  }
}

/** Client of a Docker engine's API, as much of it as we need. The version is negotiated with each engine that answers. */
export class Engine {
  readonly address: EngineAddress;
  readonly #agent: EngineAgent;
  #version: string | undefined;
  /** Of the engine that answers now. */
  #userNamespaces: Promise<boolean> | undefined;
  #offered: string | undefined;

  constructor(address: EngineAddress) {
    this.address = address;
    this.#agent = new EngineAgent(address, { keepAlive: false });
  }

  /** The API version in use, once there was an answer. */
  get version(): string | undefined {
    return this.#version;
  }

  /** The newest version that the engine offers, once there was an answer. */
  get offered(): string | undefined {
    return this.#offered;
  }

  /**
   * Negotiates a version with the engine that answers now: after a restart it may be another.
   *
   * @throws WEAVE_DOCKER
   */
  async negotiate(): Promise<string> {
    const response = await this.#send({ path: "/_ping", timeoutMs: 3_000 }, "");
    await this.#bodyOf(response);
    this.#userNamespaces = undefined;
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

  /** Engines drop old versions: if {@link NEWEST} is among them, their own oldest version serves as well. */
  async #notTooOld(): Promise<string> {
    const { MinAPIVersion } = await this.#json({ path: "/version" }, versionShape, "");
    return MinAPIVersion !== "" && compareVersions(MinAPIVersion, NEWEST) > 0 ? MinAPIVersion : NEWEST;
  }

  /** @throws EngineError with status 404 when there is none of that id or name */
  container(id: string, signal?: AbortSignal): Promise<Container> {
    return this.#json({ path: `/containers/${encodeURIComponent(id)}/json`, signal }, containerShape);
  }

  /** Ids of all running containers. */
  async runningIds(): Promise<string[]> {
    return (await this.#json({ path: "/containers/json" }, z.array(summaryShape))).map(({ Id }) => Id);
  }

  /** Ids of containers that have ended, or never ran. */
  async stoppedIds(): Promise<string[]> {
    const filters = encodeURIComponent(JSON.stringify({ status: ["exited", "created"] }));
    return (await this.#json({ path: `/containers/json?all=1&filters=${filters}` }, z.array(summaryShape))).map(
      ({ Id }) => Id,
    );
  }

  /** Whether containers have a user namespace of their own (`userns-remap`, rootless). Read from each engine once. */
  async userNamespaces(): Promise<boolean> {
    this.#userNamespaces ??= this.#json({ path: "/info" }, infoShape).then(({ SecurityOptions }) =>
      SecurityOptions.some((each) => /^name=(userns|rootless)\b/.test(each)),
    );
    const reading = this.#userNamespaces;
    return reading.catch((error) => {
      if (this.#userNamespaces === reading) this.#userNamespaces = undefined;
      throw error;
    });
  }

  /** All containers, running or not, and the IPv4 addresses that each requests by `--ip`. */
  async requestedAddresses(): Promise<{ id: string; addresses: string[] }[]> {
    const containers = await this.#json({ path: "/containers/json?all=1" }, z.array(requestedShape));
    return containers.map(({ Id, NetworkSettings }) => ({
      id: Id,
      addresses: Object.values(NetworkSettings?.Networks ?? {})
        .map((end) => end?.IPAMConfig?.IPv4Address ?? "")
        .filter((address) => address !== ""),
    }));
  }

  /** Role of this engine in a swarm; undefined when it is in none. */
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

  /** The stream of events of containers and networks. */
  events(signal: AbortSignal): Promise<IncomingMessage> {
    const filters = encodeURIComponent(JSON.stringify({ type: ["container", "network"] }));
    return this.#succeed({ path: `/events?filters=${filters}`, timeoutMs: 0, signal });
  }

  async #json<T>(call: EngineCall, shape: ZodMiniType<T>, prefix?: string): Promise<T> {
    const text = (await this.#bodyOf(await this.#succeed(call, prefix))).toString("utf8");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new WeaveError("WEAVE_DOCKER", `the Docker engine's answer to ${call.path} is no JSON`, { cause });
    }
    const parsed = shape.safeParse(value);
    if (parsed.success) return parsed.data;
    const { path, message } = parsed.error.issues[0];
    throw new WeaveError("WEAVE_DOCKER", `the Docker engine's answer to ${call.path}: ${path.join(".")}: ${message}`);
  }

  async #done(call: EngineCall): Promise<void> {
    await this.#bodyOf(await this.#succeed(call));
  }

  /** Makes a call that must succeed. @returns the head of the answer */
  async #succeed(call: EngineCall, prefix?: string): Promise<IncomingMessage> {
    if (prefix === undefined && this.#version === undefined) await this.negotiate();
    const response = await this.#send(call, prefix ?? `/v${this.#version}`);
    const status = response.statusCode ?? 0;
    if (status < 400) return response;
    const body = (await this.#bodyOf(response)).toString("utf8");
    throw new EngineError(status, messageOf(body) || `the Docker engine answered ${status}`);
  }

  /** @param prefix the version, or "" */
  async #send(call: EngineCall, prefix: string): Promise<IncomingMessage> {
    const { method = "GET", path, body, timeoutMs = TIMEOUT_MS, signal } = call;
    const text = body === undefined ? undefined : JSON.stringify(body);
    try {
      return await openReply({
        to: { agent: this.#agent },
        method,
        path: `${prefix}${path}`,
        headers: { Host: "docker", ...(text === undefined ? {} : { "Content-Type": JSON_TYPE }) },
        ...(text === undefined ? {} : { body: text }),
        answerMs: timeoutMs,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (cause) {
      throw engineUnreachable(this.address, cause);
    }
  }

  async #bodyOf(response: IncomingMessage): Promise<Buffer> {
    try {
      return await readBody(response, MAX_ANSWER);
    } catch (cause) {
      response.destroy();
      if (cause instanceof WeaveError)
        throw new WeaveError("WEAVE_DOCKER", `the Docker engine's answer is longer than ${MAX_ANSWER} bytes`);
      throw new WeaveError("WEAVE_DOCKER_UNAVAILABLE", `the Docker engine broke off its answer: ${errorText(cause)}`, {
        cause,
      });
    }
  }
}

/** The error of an engine that does not answer. */
export function engineUnreachable(address: EngineAddress, cause: unknown): WeaveError {
  const gone = ["ECONNREFUSED", "ENOENT"].includes(systemCode(cause) ?? "");
  return new WeaveError(
    "WEAVE_DOCKER_UNAVAILABLE",
    `Cannot connect to the Docker engine at ${engineAddressText(address)}: ${gone ? "nothing answers there" : errorText(cause)}`,
    { cause, next: "Is Docker running? Another address is given by --docker-api of 'weave launch', or DOCKER_HOST." },
  );
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

/** Compares API versions, such as 1.9 and 1.44. Below 0: `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  return x[0] - y[0] || (x[1] ?? 0) - (y[1] ?? 0);
}
