import { chmodSync, chownSync, rmSync, statSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type EngineAddress, readPem } from "#docker/engine/engine-address.js";
import type { DockerOptions } from "#docker/flags.js";
import { callText } from "#docker/proxy/call-text.js";
import { checkListeners } from "#docker/proxy/exposure.js";
import { answerError, answerWith, joinRaw, MAX_HEAD, sendOn } from "#docker/proxy/pipe.js";
import { type Listen, listenText, parseListen } from "#docker/proxy/proxy-options.js";
import type { Rewriter } from "#docker/proxy/rewriter.js";
import { errorText, WeaveError } from "#src/errors.js";
import { httpStatus } from "#src/http/error-status.js";
import { freeSocketPath } from "#src/linux/unix-socket.js";
import type { Log } from "#src/log.js";
import { surviveErrors } from "#src/server-errors.js";

/** Who says nothing for so long after connecting is no client. */
const HEAD_MS = 60_000;
/** Clients that connect at the same time and are not accepted yet: as many as the engine itself lets wait. */
const BACKLOG = 4_096;
/** Calls after which client and engine leave HTTP on the same connection; others do so by an `Upgrade` header. */
const HIJACKED = /^POST (?:\/v[\d.]+)?\/(?:containers\/[^/ ]+\/attach|exec\/[^/ ]+\/start)[? ]/;
const UPGRADE = /^upgrade:/im;

export interface ProxyDeps {
  readonly engine: EngineAddress;
  readonly options: DockerOptions;
  /** Undefined while the router is starting: then everything passes as it is. */
  readonly rewriter: () => Rewriter | undefined;
  readonly log: Log;
}

/**
 * Docker's API, with containers put on our network on the way. What is not about that passes untouched, and so does
 * everything while we cannot help: a user's `docker run` must not fail because of us.
 */
export class ApiProxy {
  readonly #parts: ProxyDeps;
  readonly #http: Server;
  readonly #servers: NetServer[] = [];
  readonly #sockets = new Set<Socket>();
  /** Where it listens, the first as `weave env` gives it. */
  readonly addresses: string[] = [];

  private constructor(parts: ProxyDeps) {
    this.#parts = parts;
    this.#http = createHttpServer(
      // Old clients give a path as their Host; a build may send for hours.
      { maxHeaderSize: MAX_HEAD, requireHostHeader: false, requestTimeout: 0, headersTimeout: HEAD_MS },
      (request, response) => void this.#serve(request, response),
    );
    this.#http.timeout = 0;
    // Node's own switch, which its types lack: a client that ends its side still gets its answer.
    Object.assign(this.#http, { httpAllowHalfOpen: true });
    // As the engine, which closes no connection by itself.
    this.#http.keepAliveTimeout = 0;
    this.#http.on(
      "upgrade",
      (request: IncomingMessage, socket: Socket, head: Buffer) =>
        void joinRaw(socket, this.#parts.engine, Buffer.concat([Buffer.from(headText(request)), head])),
    );
    this.#http.on("clientError", (_error, socket) => {
      if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
  }

  /** @throws WEAVE_PORT_IN_USE, WEAVE_FLAG_INVALID, WEAVE_API; then it listens nowhere */
  static async open(parts: ProxyDeps): Promise<ApiProxy> {
    checkListeners({ ...parts.options, proxy: true }, parts.engine);
    const proxy = new ApiProxy(parts);
    try {
      for (const text of parts.options.listen) await proxy.#listen(parseListen(text));
    } catch (error) {
      await proxy.close();
      throw error;
    }
    return proxy;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const text of this.addresses) {
      const listen = parseListen(text);
      if ("path" in listen) rmSync(listen.path, { force: true });
    }
  }

  /** Who may talk to Docker may talk to us: to be called again when an engine has come up. */
  takeRights(): void {
    const { engine } = this.#parts;
    for (const listen of this.addresses.map(parseListen)) {
      if (!("path" in listen)) continue;
      if ("socketPath" in engine) copyRights(engine.socketPath, listen.path);
      // Who may use an engine on TCP is said by no file: root may.
      else chmodSync(listen.path, 0o600);
    }
  }

  async #listen(listen: Listen): Promise<void> {
    const { options, log } = this.#parts;
    const accept = (socket: Socket) => this.#accept(socket);
    const secure = "host" in listen && options.tls !== "off";
    const server: NetServer = secure
      ? createTlsServer({ ...tlsOf(options), allowHalfOpen: true }, accept)
      : createServer({ allowHalfOpen: true }, accept);
    surviveErrors(server, "the proxy", log);
    if ("path" in listen && (await freeSocketPath(listen.path)) !== "free") {
      throw new WeaveError("WEAVE_API", `${listen.path} is taken: the proxy cannot listen there`, {
        next: "Choose another path with -H, or remove what is there if nobody needs it.",
      });
    }
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) =>
        reject(
          new WeaveError("WEAVE_PORT_IN_USE", `the proxy cannot listen on ${listenText(listen)}: ${cause.message}`, {
            cause,
            next: "Choose another address with -H, or launch with --proxy=false.",
          }),
        ),
      );
      const where = "path" in listen ? listen : { port: listen.port, host: listen.host };
      server.listen({ ...where, backlog: BACKLOG }, resolve);
    });
    this.#servers.push(server);
    this.addresses.push(listenText(listen));
    this.takeRights();
  }

  /** Looks at the head of a connection's first request; only what leaves HTTP is not given to the HTTP server. */
  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => socket.destroy(), HEAD_MS);
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      const seen = Buffer.concat(chunks);
      const end = seen.indexOf("\r\n\r\n");
      if (end === -1 && seen.length < MAX_HEAD) return;
      done();
      const head = seen.subarray(0, Math.max(end, 0)).toString("latin1");
      if (HIJACKED.test(head) || UPGRADE.test(head)) return void joinRaw(socket, this.#parts.engine, seen);
      socket.unshift(seen);
      this.#http.emit("connection", socket);
      socket.resume();
    };
    const onEnd = () => {
      done();
      socket.destroy();
    };
    const done = () => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.pause();
    };
    socket.on("data", onData);
    socket.on("end", onEnd);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { engine, rewriter, log } = this.#parts;
    // An answer that is under way is for the client to refuse.
    response.on("error", () => {});
    try {
      const rewriting = rewriter();
      const served = await rewriting?.serve(request, response);
      log.debug("a call of the Docker API", { call: callText(request), changed: served ?? "the router is starting" });
      if (served) return;
      answerWith(await sendOn({ endpoint: engine, request }), response);
    } catch (error) {
      log.info("a call of the Docker API failed", { call: callText(request), why: errorText(error) });
      const status = httpStatus(error);
      answerError(response, status, errorText(error));
    }
  }
}

function headText({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return `${text}\r\n`;
}

function tlsOf({ tls, tlsCa, tlsCert, tlsKey }: DockerOptions): object {
  return {
    cert: readPem(tlsCert),
    key: readPem(tlsKey),
    minVersion: "TLSv1.2",
    ...(tls === "verify" ? { ca: readPem(tlsCa), requestCert: true, rejectUnauthorized: true } : {}),
  };
}

function copyRights(from: string, to: string): void {
  const stat = statSync(from, { throwIfNoEntry: false });
  chmodSync(to, stat === undefined ? 0o600 : stat.mode & 0o777);
  if (stat !== undefined) chownSync(to, stat.uid, stat.gid);
}
