import type { ChildProcess } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { activation, allocated, capabilities, MANAGED_KINDS } from "#docker/plugin/activation.js";
import { startChild } from "#router/child.js";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
import { withTimeLimit } from "#src/joined-signal.js";
import { systemRandom } from "#src/random.js";

/**
 * The process of a managed plugin of Docker (V2): `node router/managed-plugin.js COMMAND…`, where `COMMAND… launch` starts a
 * router. It imports little, as Docker expects an answer half a second after its start, then again only 3 s later; it answers
 * the first calls itself and passes the others to the router. It never ends by itself: an end at the start delays
 * `docker plugin enable` by 34 s, which then reports success (moby, pkg/plugins/client.go and plugin/manager_linux.go). A router
 * that ends is started again, and calls are answered with the reason meanwhile.
 *
 * packaging/plugin/config.json has the settings (`docker plugin set`), and the host's folders that the plugin sees.
 */

const SOCKET = "/run/docker/plugins/weave.sock";
/** The router's own socket for the same calls. It is in the plugin's file system. */
const ROUTER_SOCKET = "/run/weave/driver.sock";
/** The host's id, which a plugin does not have: without it each node would be the same peer. Docker shows the host's processes. */
const HOST_MACHINE_ID = "/proc/1/root/etc/machine-id";

/** Limit for a call while the router starts: Docker waits 30 s. */
const START_MS = 20_000;
/** The same after a router has ended: the next one may start. */
const FAILED_MS = 2_000;
/** Limit for a call of a router that runs: Docker waits 30 s. */
const CALL_MS = 30_000;
/** Interval between attempts to reach a router that starts. */
const RETRY_MS = 50;
/** Limit for the reason of a router's end, after its socket has closed. */
const END_MS = 1_000;
/** Delays before a router is started again. */
const RESTART: BackoffPolicy = { firstMs: 100, factor: 2, lastMs: 30_000, spread: 0 };
/** Run time after which a router counts as stable: the next delay is the first one again. */
const STABLE_MS = 60_000;
/** Time from SIGTERM to SIGKILL. A router stops within two seconds by itself; Docker kills the plugin after ten. */
const STOP_MS = 5_000;
/** Limit for the body of a call, as of the router. */
const MAX_BODY = 1 << 20;

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";

/**
 * Answers that need no router, by the paths of the calls. A manager of a swarm allocates networks for all nodes: it must be able to
 * while the router of its own node starts, or has a wrong setting.
 */
const OWN_ANSWERS: Readonly<Record<string, (body: Buffer) => object>> = {
  "/Plugin.Activate": () => activation(MANAGED_KINDS),
  "/NetworkDriver.GetCapabilities": () => capabilities(true),
  "/NetworkDriver.AllocateNetwork": (body) => allocated(JSON.parse(body.toString("utf8"))),
  "/NetworkDriver.FreeNetwork": () => ({}),
};
/** News for a router that runs: one that starts reads the swarm's nodes itself. */
const NEWS = ["/NetworkDriver.DiscoverNew", "/NetworkDriver.DiscoverDelete"];

class ManagedPlugin {
  readonly #command: readonly string[];
  readonly #backoff = new Backoff(RESTART, systemRandom);
  #child: ChildProcess | undefined;
  /** Why the last router ended; undefined since one was reached. */
  #failure: string | undefined;
  #stopping = false;

  constructor(command: readonly string[]) {
    this.#command = command;
  }

  begin(): void {
    process.on("uncaughtException", (error) => writeLog("error", error.message));
    process.on("SIGTERM", () => this.#stop());
    process.on("SIGINT", () => this.#stop());
    // Of a process that was killed.
    rmSync(SOCKET, { force: true });
    createServer((call, response) => void this.#serve(call, response)).listen(SOCKET, () => this.#prepare());
  }

  #prepare(): void {
    mkdirSync(dirname(ROUTER_SOCKET), { recursive: true });
    try {
      copyFileSync(HOST_MACHINE_ID, "/etc/machine-id");
    } catch {
      // A host without one. The stored name, or one of the hardware, is used.
    }
    this.#start();
  }

  #start(): void {
    const began = Date.now();
    const [file, ...words] = this.#command;
    const flag = ownFlag(process.env.EXTRA_ARGS);
    if (flag !== undefined) {
      // Only another setting helps.
      this.#failure = `EXTRA_ARGS must not contain ${flag}, which the plugin itself sets`;
      return writeLog("error", `the router is not started: ${this.#failure}`);
    }
    this.#child = startChild(file, [...words, "launch", ...launchArguments(process.env)], {
      onStderr: (text) => void process.stderr.write(text),
      ended: ({ why }) => this.#ended(Date.now() - began, why),
    });
  }

  #ended(afterMs: number, why: string): void {
    this.#child = undefined;
    if (this.#stopping) process.exit(0);
    this.#failure = why;
    if (afterMs >= STABLE_MS) this.#backoff.reset();
    const delayMs = this.#backoff.next();
    writeLog("error", `the router has ended and is started again after ${delayMs} ms: ${why}`);
    setTimeout(() => {
      if (!this.#stopping) this.#start();
    }, delayMs);
  }

  #stop(): void {
    this.#stopping = true;
    const child = this.#child;
    if (child === undefined) process.exit(0);
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  }

  async #serve(call: IncomingMessage, response: ServerResponse): Promise<void> {
    // The router undoes a call when Docker no longer waits for its answer.
    const waiting = new AbortController();
    response.once("close", () => waiting.abort());
    const answer = (status: number, body: string | Buffer) =>
      void response.writeHead(status, { "Content-Type": CONTENT_TYPE }).end(body);
    try {
      const body = await bodyOf(call);
      const path = call.url ?? "";
      if (Object.hasOwn(OWN_ANSWERS, path)) return answer(200, JSON.stringify(OWN_ANSWERS[path](body)));
      const routed: Call = { path, method: call.method ?? "POST", body, signal: waiting.signal };
      if (NEWS.includes(path)) {
        void callRouter({ ...routed, signal: undefined }).catch(() => {});
        return answer(200, "{}");
      }
      const reply = await this.#pass(routed);
      answer(reply.status, reply.body);
    } catch (error) {
      answer(500, JSON.stringify({ Err: error instanceof Error ? error.message : String(error) }));
    }
  }

  /** Passes a call to the router, and waits for one that starts. @throws Error with the reason why there is none */
  async #pass(call: Call): Promise<Reply> {
    const began = Date.now();
    for (;;) {
      try {
        const reply = await callRouter(call);
        this.#failure = undefined;
        return reply;
      } catch (error) {
        // Only a call that no router has received is repeated.
        const { code = "", name } = error as NodeJS.ErrnoException;
        if (name === "TimeoutError") throw new Error(`the weave router has not answered within ${CALL_MS / 1_000} s`);
        if (!["ENOENT", "ECONNREFUSED"].includes(code)) throw new Error(await this.#endOf());
      }
      if (Date.now() - began > (this.#failure === undefined ? START_MS : FAILED_MS))
        throw new Error(
          `the router of this plugin does not run: ${sentences(this.#failure ?? "it still starts")}. 'docker plugin disable' and 'docker plugin set' change its settings; the engine's log has its log`,
        );
      await sleep(RETRY_MS);
    }
  }

  /** Text for a call whose router ended: the reason, if it is known shortly after. */
  async #endOf(): Promise<string> {
    for (const end = Date.now() + END_MS; Date.now() < end && this.#failure === undefined; ) await sleep(RETRY_MS);
    const why = this.#failure === undefined ? "" : `: ${sentences(this.#failure)}`;
    return `the router of this plugin ended during the call${why}. Try again`;
  }
}

interface Call {
  readonly path: string;
  readonly method: string;
  readonly body: Buffer;
  /** Aborted when the caller no longer waits. */
  readonly signal: AbortSignal | undefined;
}

interface Reply {
  readonly status: number;
  readonly body: Buffer;
}

const callRouter = (call: Call): Promise<Reply> =>
  withTimeLimit(CALL_MS, call.signal, (signal) => sendToRouter({ ...call, signal }));

function sendToRouter({ path, method, body, signal }: Call): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request({
      socketPath: ROUTER_SOCKET,
      path,
      method,
      headers: { "Content-Length": body.length },
      signal,
    });
    call.on("error", reject);
    call.on("response", (response) =>
      bodyOf(response).then((text) => resolve({ status: response.statusCode ?? 500, body: text }), reject),
    );
    call.end(body);
  });
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message) {
    bytes += chunk.length;
    if (bytes > MAX_BODY) throw new Error(`the body of a call has at most ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Flags that would separate the router from its plugin, or end it. */
const OWN_FLAGS =
  /^--?(foreground|supervised|image|resume|help|h|plugin|plugin-v2|plugin-socket|plugin-mesh-socket|docker-api)(=|$)/;

/** The first flag among the words that users may not set; undefined if there is none. */
const ownFlag = (text = ""): string | undefined =>
  text
    .split(/\s+/)
    .find((word) => OWN_FLAGS.test(word))
    ?.replace(/=.*/, "");

/** Flags and peers of the plugin's settings. `weave launch` itself reads those variables that have the name of a flag's. */
function launchArguments({ LOG_LEVEL, IPALLOC_RANGE, EXTRA_ARGS, WEAVE_PEERS }: NodeJS.ProcessEnv): string[] {
  const words = (text = "") => text.split(/[\s,]+/).filter((word) => word !== "");
  return [
    ...["--foreground", "--plugin-v2", "--plugin-socket", ROUTER_SOCKET],
    // Docker itself resolves the names of its networks; containers that are not on them have no part in a managed plugin.
    ...["--proxy=false", "--no-dns"],
    ...(LOG_LEVEL ? ["--log-level", LOG_LEVEL] : []),
    ...(IPALLOC_RANGE ? ["--ipalloc-range", IPALLOC_RANGE] : []),
    ...(EXTRA_ARGS ?? "").split(/\s+/).filter((word) => word !== ""),
    ...words(WEAVE_PEERS),
  ];
}

/** Lines in one, as Docker shows an error. Each of ours is a sentence; the last one keeps no full stop. */
const sentences = (text: string): string =>
  text
    .split("\n")
    .map((line) => line.trim().replace(/\.$/, ""))
    .filter((line) => line !== "")
    .join(". ");

/** Writes a line to the engine's log, in the form of the router's. */
function writeLog(level: string, msg: string): void {
  process.stdout.write(`${JSON.stringify({ level, time: new Date().toISOString(), msg })}\n`);
}

new ManagedPlugin(process.argv.slice(2)).begin();
