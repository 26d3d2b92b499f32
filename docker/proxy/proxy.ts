import { chmodSync, chownSync, statSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type EngineAddress, readPem } from "#docker/engine/engine-address.js";
import type { EngineListener } from "#docker/engine/events.js";
import { type ChangedCalls, callText } from "#docker/proxy/call.js";
import { checkListeners, openListeners } from "#docker/proxy/exposure.js";
import { answerError, forwardAnswer, forwardRequest, joinRaw, MAX_HEAD } from "#docker/proxy/pipe.js";
import { listenText, type ProxyOptions, parseListen } from "#docker/proxy/proxy-options.js";
import { errorText } from "#src/errors.js";
import { httpStatus } from "#src/http/error-status.js";
import { listen, type ServerAddress } from "#src/http/listen.js";
import { surviveErrors } from "#src/http/server.js";
import type { Log } from "#src/log.js";

/** Limit for the head of a first request. */
const HEAD_MS = 60_000;
/** Connections that wait to be accepted: as many as the engine allows. */
const BACKLOG = 4_096;
/** Calls after which client and engine leave HTTP on the same connection; others do so by an `Upgrade` header. */
const HIJACKED = /^POST (?:\/v[\d.]+)?\/(?:containers\/[^/ ]+\/attach|exec\/[^/ ]+\/start)[? ]/;
const UPGRADE = /^upgrade:/im;

export interface ProxyDeps {
  readonly engine: EngineAddress;
  readonly log: Log;
}

/**
 * A proxy of Docker's API that puts containers on our network. Calls that do not concern that pass unchanged, and all calls do until
 * {@link serve}: a user's `docker run` must not fail because of us.
 */
export class ApiProxy implements EngineListener {
  readonly #deps: ProxyDeps;
  readonly #options: ProxyOptions;
  readonly #http: Server;
  readonly #servers: NetServer[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #listening: ServerAddress[] = [];
  #calls: ChangedCalls | undefined;

  private constructor(deps: ProxyDeps, options: ProxyOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#http = this.#httpServer();
  }

  /** @throws WEAVE_PORT_IN_USE, WEAVE_FLAG_INVALID, WEAVE_API; then it does not listen */
  static async open(deps: ProxyDeps, options: ProxyOptions): Promise<ApiProxy> {
    checkListeners({ ...options, proxy: true }, deps.engine);
    const proxy = new ApiProxy(deps, options);
    try {
      for (const text of options.listen) await proxy.#listen(parseListen(text));
    } catch (error) {
      await proxy.close();
      throw error;
    }
    return proxy;
  }

  /** Changes calls from now on. */
  serve(calls: ChangedCalls): void {
    this.#calls = calls;
  }

  /** Where it listens, the first as `weave env` prints it. */
  get addresses(): readonly string[] {
    return this.#listening.map(listenText);
  }

  /** Those of {@link addresses} that serve everyone who can connect. */
  get open(): readonly string[] {
    return openListeners(this.#options, this.#deps.engine).map((text) => listenText(parseListen(text)));
  }

  /** The engine's socket may have another owner or mode than before. */
  connected(): void {
    try {
      this.#copySocketPermissions();
    } catch (error) {
      this.#deps.log.warn("the permissions of the engine's socket were not copied to the proxy's", {
        why: errorText(error),
      });
    }
  }

  /** Node removes a Unix socket when its server closes. */
  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Users of Docker's own socket may use the proxy's: it has the same owner and mode. */
  #copySocketPermissions(): void {
    const { engine } = this.#deps;
    for (const address of this.#listening) {
      if (!("path" in address)) continue;
      const stat = "socketPath" in engine ? statSync(engine.socketPath, { throwIfNoEntry: false }) : undefined;
      // No file shows who may use an engine on TCP, or one that is not there: root may.
      chmodSync(address.path, stat === undefined ? 0o600 : stat.mode & 0o777);
      if (stat !== undefined) chownSync(address.path, stat.uid, stat.gid);
    }
  }

  async #listen(address: ServerAddress): Promise<void> {
    const accept = (socket: Socket) => this.#accept(socket);
    const secure = "host" in address && this.#options.tls !== "off";
    const server: NetServer = secure
      ? createTlsServer({ ...tlsOf(this.#options), allowHalfOpen: true }, accept)
      : createServer({ allowHalfOpen: true }, accept);
    surviveErrors(server, "the proxy", this.#deps.log);
    await listen(server, address, {
      name: "the proxy",
      remedy: "Choose another address with -H, or launch with --proxy=false.",
      backlog: BACKLOG,
      // Our socket has the owner of the engine's.
      anyOwner: true,
    });
    this.#servers.push(server);
    this.#listening.push(address);
    this.#copySocketPermissions();
  }

  #httpServer(): Server {
    const server = createHttpServer(
      // Old clients send a path as their Host; a build may send for hours.
      { maxHeaderSize: MAX_HEAD, requireHostHeader: false, requestTimeout: 0, headersTimeout: HEAD_MS },
      (request, response) => void this.#serve(request, response),
    );
    server.timeout = 0;
    // An option of Node that its types lack: a client that ends its side still gets its answer.
    Object.assign(server, { httpAllowHalfOpen: true });
    // As the engine, which closes no connection by itself.
    server.keepAliveTimeout = 0;
    server.on(
      "upgrade",
      (request: IncomingMessage, socket: Socket, head: Buffer) =>
        void joinRaw(socket, this.#deps.engine, Buffer.concat([Buffer.from(headText(request)), head])),
    );
    server.on("clientError", (_error, socket) => {
      if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    return server;
  }

  /** Examines the head of a connection's first request: one that leaves HTTP does not go to the HTTP server. */
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
      if (HIJACKED.test(head) || UPGRADE.test(head)) return void joinRaw(socket, this.#deps.engine, seen);
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
    const { engine, log } = this.#deps;
    // An error of the answer shows that the client has closed the connection.
    response.on("error", () => {});
    try {
      const handle = this.#calls?.handlerOf(request);
      const changed = this.#calls === undefined ? "the router is starting" : handle !== undefined;
      log.debug("a call of the Docker API", { call: callText(request), changed });
      if (handle !== undefined) await handle({ request, response });
      else forwardAnswer(await forwardRequest({ address: engine, request }), response);
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

function tlsOf({ tls, tlsCa, tlsCert, tlsKey }: ProxyOptions): object {
  return {
    cert: readPem(tlsCert),
    key: readPem(tlsKey),
    minVersion: "TLSv1.2",
    ...(tls === "verify" ? { ca: readPem(tlsCa), requestCert: true, rejectUnauthorized: true } : {}),
  };
}
