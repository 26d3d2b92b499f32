import type { IncomingMessage } from "node:http";
import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import { EngineAgent } from "#docker/engine/connection.js";
import { type EngineAddress, engineAddressText } from "#docker/engine/engine-address.js";
import { isPodman } from "#docker/engine/podman.js";
import {
  type Container,
  containerShape,
  type Image,
  imageShape,
  infoShape,
  type Network,
  type NetworkServices,
  networkServicesShape,
  networkShape,
  type RunningContainer,
  requestedShape,
  runningShape,
  type Swarm,
  type SwarmService,
  type SwarmTask,
  summaryShape,
  swarmServiceShape,
  swarmTaskShape,
  versionShape,
} from "#docker/engine/shapes.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { JSON_TYPE } from "#src/http/answer.js";
import { readBody } from "#src/http/body.js";
import { openReply } from "#src/http/client.js";
import { hostOf } from "#src/net/host-port.js";

/** Newest API version that we use. Engines from 25 to 29 and later accept it; older ones report the version that they accept. */
const NEWEST = "1.44";
/** Oldest API version with everything that we use (Docker 1.12). */
const OLDEST = "1.24";
const TIMEOUT_MS = 10_000;
const PING_TIMEOUT_MS = 3_000;
/** Limit for calls in which the engine starts a container, or calls our plugin and may wait for it. */
const SLOW_TIMEOUT_MS = 60_000;
const TAR_TYPE = "application/x-tar";
/** Limit for an answer, in bytes: above a list of 10,000 containers with all their labels. */
const MAX_ANSWER = 64 << 20;

export interface EngineCall {
  readonly method?: string;
  /** Path without the version. */
  readonly path: string;
  /** Sent as JSON; a Buffer as an archive of tar. */
  readonly body?: unknown;
  /** Limit for the whole answer; undefined for {@link TIMEOUT_MS}, 0 for none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Error that the engine answered with, and its HTTP status. */
export class EngineError extends WeaveError {
  readonly status: number;

  constructor(status: number, message: string) {
    super("WEAVE_DOCKER", message);
    this.status = status;
  }
}

/** Client of the part of the Docker engine's API that we use. The version is negotiated with the engine. */
export class Engine {
  readonly address: EngineAddress;
  readonly #agent: EngineAgent;
  #version: string | undefined;
  /** Whether the current engine uses user namespaces; undefined before this is read. */
  #userNamespaces: Promise<boolean> | undefined;
  #offered: string | undefined;
  #product = "";

  constructor(address: EngineAddress) {
    this.address = address;
    this.#agent = new EngineAgent(address, { keepAlive: false });
  }

  /** API version in use; undefined before the engine has answered. */
  get version(): string | undefined {
    return this.#version;
  }

  /** Newest API version that the engine offers; undefined before the engine has answered. */
  get offered(): string | undefined {
    return this.#offered;
  }

  /** The engine's name and version, such as "docker 29.1.0" or "podman 4.3.1"; "" before it has answered. */
  get product(): string {
    return this.#product;
  }

  /** Whether the engine that answers is Podman. */
  get isPodman(): boolean {
    return this.#product.startsWith(PODMAN);
  }

  /**
   * Negotiates the API version with the engine. Each connect repeats it, since the engine may have been upgraded.
   *
   * @throws WEAVE_DOCKER
   */
  async negotiate(): Promise<string> {
    const response = await this.#send({ path: "/_ping", timeoutMs: PING_TIMEOUT_MS }, "");
    await this.#bodyOf(response);
    this.#userNamespaces = undefined;
    const offered = String(response.headers["api-version"] ?? OLDEST);
    this.#offered = offered;
    this.#product = productOf(String(response.headers.server ?? ""));
    this.#version = compareVersions(offered, NEWEST) <= 0 ? offered : await this.#versionForNewEngine();
    if (compareVersions(this.#version, OLDEST) < 0) {
      const found = this.#version;
      this.#version = undefined;
      throw new WeaveError("WEAVE_DOCKER", `the Docker engine's API ${found} is too old: ${OLDEST} is needed`, {
        next: "Upgrade Docker to 1.12 or later.",
      });
    }
    return this.#version;
  }

  /** Returns {@link NEWEST}, or the oldest version of an engine that no longer accepts it. */
  async #versionForNewEngine(): Promise<string> {
    const { MinAPIVersion } = await this.json({ path: "/version" }, versionShape, "");
    return MinAPIVersion !== "" && compareVersions(MinAPIVersion, NEWEST) > 0 ? MinAPIVersion : NEWEST;
  }

  /** Inspects a container by id or name. @throws EngineError with status 404 when there is none */
  container(id: string, signal?: AbortSignal): Promise<Container> {
    return this.json({ path: `/containers/${encodeURIComponent(id)}/json`, signal }, containerShape);
  }

  /** Ids of all running containers. */
  async runningIds(): Promise<string[]> {
    return (await this.json({ path: "/containers/json" }, z.array(summaryShape))).map(({ Id }) => Id);
  }

  /** All running containers, with their endpoints. */
  running(): Promise<RunningContainer[]> {
    return this.json({ path: "/containers/json" }, z.array(runningShape));
  }

  /** Ids of containers that have ended or never ran. */
  async stoppedIds(): Promise<string[]> {
    const filters = encodeURIComponent(JSON.stringify({ status: ["exited", "created"] }));
    return (await this.json({ path: `/containers/json?all=1&filters=${filters}` }, z.array(summaryShape))).map(
      ({ Id }) => Id,
    );
  }

  /** Whether containers have their own user namespace (`userns-remap`, rootless). Read once after each connect. */
  async userNamespaces(): Promise<boolean> {
    this.#userNamespaces ??= this.json({ path: "/info" }, infoShape).then(({ SecurityOptions }) =>
      SecurityOptions.some((each) => /^name=(userns|rootless)\b/.test(each)),
    );
    const pending = this.#userNamespaces;
    return pending.catch((error) => {
      if (this.#userNamespaces === pending) this.#userNamespaces = undefined;
      throw error;
    });
  }

  /** Whether this is the service of a user without root's rights, of Podman. */
  async isRootlessPodman(): Promise<boolean> {
    return this.isPodman && (await this.json({ path: "/info" }, infoShape)).Rootless;
  }

  /** All containers, running or not, and the IPv4 addresses that each requests by `--ip`. */
  async requestedAddresses(): Promise<{ id: string; addresses: string[] }[]> {
    const containers = await this.json({ path: "/containers/json?all=1" }, z.array(requestedShape));
    return containers.map(({ Id, NetworkSettings }) => ({
      id: Id,
      addresses: Object.values(NetworkSettings?.Networks ?? {})
        .map((end) => end?.IPAMConfig?.IPv4Address ?? "")
        .filter((address) => address !== ""),
    }));
  }

  /** The swarm of this engine; undefined when it is in none. */
  async swarm(): Promise<Swarm | undefined> {
    const { Swarm: swarm } = await this.json({ path: "/info" }, infoShape);
    if (!["active", "pending", "locked"].includes(swarm.LocalNodeState)) return undefined;
    const managers = swarm.RemoteManagers.map(({ Addr }) => hostOf(Addr)).filter((host) => host !== swarm.NodeAddr);
    return { role: swarm.ControlAvailable ? "manager" : "worker", managers };
  }

  start(id: string): Promise<void> {
    return this.done({ method: "POST", path: `/containers/${id}/start`, timeoutMs: SLOW_TIMEOUT_MS });
  }

  kill(id: string): Promise<void> {
    return this.done({ method: "POST", path: `/containers/${id}/kill` });
  }

  image(name: string): Promise<Image> {
    return this.json({ path: imagePath(name) }, imageShape);
  }

  networks(): Promise<Network[]> {
    return this.json({ path: "/networks" }, z.array(networkShape));
  }

  /** Inspects a network. @param id or name */
  network(id: string): Promise<Network> {
    return this.json({ path: `/networks/${encodeURIComponent(id)}` }, networkShape);
  }

  /** As {@link network}, but undefined when there is no such network. */
  async networkOrNone(id: string): Promise<Network | undefined> {
    try {
      return await this.network(id);
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** The services of a swarm's network, with their tasks on all nodes. The engine knows those of networks that it has containers on. */
  networkServices(id: string): Promise<NetworkServices> {
    return this.json({ path: `/networks/${encodeURIComponent(id)}?verbose=true` }, networkServicesShape);
  }

  /** The tasks of a swarm that filters select. Only managers answer. */
  tasks(filters: Readonly<Record<string, readonly string[]>>): Promise<SwarmTask[]> {
    return this.json(
      { path: `/tasks?filters=${encodeURIComponent(JSON.stringify(filters))}` },
      z.array(swarmTaskShape),
    );
  }

  /** Inspects a service of a swarm. Only managers answer. */
  service(id: string): Promise<SwarmService> {
    return this.json({ path: `/services/${encodeURIComponent(id)}` }, swarmServiceShape);
  }

  createNetwork(body: object): Promise<void> {
    return this.done({ method: "POST", path: "/networks/create", body, timeoutMs: SLOW_TIMEOUT_MS });
  }

  removeNetwork(id: string): Promise<void> {
    return this.done({ method: "DELETE", path: `/networks/${encodeURIComponent(id)}`, timeoutMs: SLOW_TIMEOUT_MS });
  }

  /** Subscribes to the events of containers and networks, and on a swarm's manager to those of services and nodes. @returns the answer, whose body is a stream of JSON objects */
  events(signal: AbortSignal): Promise<IncomingMessage> {
    const filters = encodeURIComponent(JSON.stringify({ type: ["container", "network", "service", "node"] }));
    return this.#succeed({ path: `/events?filters=${filters}`, timeoutMs: 0, signal });
  }

  /** Makes a call whose answer has a shape. @param prefix path prefix instead of the API version @throws WEAVE_DOCKER, EngineError */
  async json<T>(call: EngineCall, shape: ZodMiniType<T>, prefix?: string): Promise<T> {
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

  /** Makes a call whose answer has no content. @throws EngineError */
  async done(call: EngineCall): Promise<void> {
    await this.#bodyOf(await this.#succeed(call));
  }

  /** Makes a call. @returns the head of its answer @throws EngineError when the engine answers with an error */
  async #succeed(call: EngineCall, prefix?: string): Promise<IncomingMessage> {
    if (prefix === undefined && this.#version === undefined) await this.negotiate();
    const response = await this.#send(call, prefix ?? `/v${this.#version}`);
    const status = response.statusCode ?? 0;
    if (status < 400) return response;
    const body = (await this.#bodyOf(response)).toString("utf8");
    throw new EngineError(status, messageOf(body) || `the Docker engine answered ${status}`);
  }

  /** @param prefix path prefix for the API version, or "" */
  async #send(call: EngineCall, prefix: string): Promise<IncomingMessage> {
    const { method = "GET", path, body, timeoutMs = TIMEOUT_MS, signal } = call;
    const data = body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    try {
      return await openReply({
        to: { agent: this.#agent },
        method,
        path: `${prefix}${path}`,
        headers: {
          Host: "docker",
          ...(data === undefined ? {} : { "Content-Type": Buffer.isBuffer(data) ? TAR_TYPE : JSON_TYPE }),
        },
        ...(data === undefined ? {} : { body: data }),
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

/** Error for an engine that does not answer. */
export function engineUnreachable(address: EngineAddress, cause: unknown): WeaveError {
  const gone = ["ECONNREFUSED", "ENOENT"].includes(systemCode(cause) ?? "");
  const [name, question] = isPodman(address)
    ? ["Podman's service", "Is it running? 'systemctl enable --now podman.socket' starts it."]
    : ["the Docker engine", "Is Docker running?"];
  return new WeaveError(
    "WEAVE_DOCKER_UNAVAILABLE",
    `Cannot connect to ${name} at ${engineAddressText(address)}: ${gone ? "nothing answers there" : errorText(cause)}`,
    { cause, next: `${question} Set another address with --docker-api of 'weave launch', or with DOCKER_HOST.` },
  );
}

/** Start of {@link Engine.product} for Podman. */
const PODMAN = "podman ";

/** Reads the header `Server`: `Docker/29.1.0 (linux)`, or `Libpod/4.3.1 (linux)` of Podman. @returns "" for anything else */
function productOf(server: string): string {
  const [, name, version] = /^(Docker|Libpod)\/([\w.+-]{1,32})(?: |$)/.exec(server) ?? [];
  if (name === undefined) return "";
  return name === "Docker" ? `docker ${version}` : `${PODMAN}${version}`;
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

/** Path of the call that inspects an image. The engine expects the slashes of its name unencoded. */
export const imagePath = (name: string): string => `/images/${encodeURIComponent(name).replaceAll("%2F", "/")}/json`;

/** Compares versions by their two numbers, such as 1.9 and 1.44. @returns a negative number if `a` is older, 0 if equal */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  return x[0] - y[0] || (x[1] ?? 0) - (y[1] ?? 0);
}
