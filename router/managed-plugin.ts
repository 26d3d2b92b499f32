import type { ChildProcess } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { activation, capabilities, MANAGED_KINDS } from "#docker/plugin/activation.js";
import { startChild } from "#router/child.js";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
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
/** Interval between attempts to reach a router that starts. */
const RETRY_MS = 50;
/** Delays before a router is started again. */
const RESTART: BackoffPolicy = { firstMs: 100, factor: 2, lastMs: 30_000, spread: 0 };
/** Run time after which a router counts as stable: the next delay is the first one again. */
const STABLE_MS = 60_000;
/** Time from SIGTERM to SIGKILL. A router stops within two seconds by itself; Docker kills the plugin after ten. */
const STOP_MS = 5_000;
/** Limit for the body of a call, as of the router. */
const MAX_BODY = 1 << 20;

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";

/** Answers that need no router, by the paths of the calls. */
const OWN_ANSWERS: Readonly<Record<string, object>> = {
  "/Plugin.Activate": activation(MANAGED_KINDS),
  "/NetworkDriver.GetCapabilities": capabilities(true),
};

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
    this.#child = startChild(file, [...words, "launch", ...launchArguments(process.env)], {
      stdout: "inherit",
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
    const answer = (status: number, body: string | Buffer) =>
      void response.writeHead(status, { "Content-Type": CONTENT_TYPE }).end(body);
    try {
      const body = await bodyOf(call);
      const path = call.url ?? "";
      if (Object.hasOwn(OWN_ANSWERS, path)) return answer(200, JSON.stringify(OWN_ANSWERS[path]));
      const reply = await this.#pass(path, call.method ?? "POST", body);
      answer(reply.status, reply.body);
    } catch (error) {
      const Err = error instanceof Error ? error.message.replaceAll("\n", " ") : String(error);
      answer(500, JSON.stringify({ Err }));
    }
  }

  /** Passes a call to the router, and waits for one that starts. @throws Error with the reason why there is none */
  async #pass(path: string, method: string, body: Buffer): Promise<Reply> {
    const deadline = Date.now() + (this.#failure === undefined ? START_MS : FAILED_MS);
    for (;;) {
      try {
        const reply = await callRouter(path, method, body);
        this.#failure = undefined;
        return reply;
      } catch (error) {
        // Only a call that no router has received is repeated.
        if (!["ENOENT", "ECONNREFUSED"].includes((error as NodeJS.ErrnoException).code ?? ""))
          throw new Error("the weave router ended during the call; try again");
      }
      if (Date.now() > deadline)
        throw new Error(
          `the weave router does not run: ${this.#failure ?? "it still starts"}. 'docker plugin disable' and 'docker plugin set' change its settings; the engine's log has its log`,
        );
      await sleep(RETRY_MS);
    }
  }
}

interface Reply {
  readonly status: number;
  readonly body: Buffer;
}

function callRouter(path: string, method: string, body: Buffer): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: ROUTER_SOCKET, path, method, headers: { "Content-Length": body.length } });
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

/** Writes a line to the engine's log, in the form of the router's. */
function writeLog(level: string, msg: string): void {
  process.stdout.write(`${JSON.stringify({ level, time: new Date().toISOString(), msg })}\n`);
}

new ManagedPlugin(process.argv.slice(2)).begin();
