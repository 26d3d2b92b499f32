import { chmodSync, chownSync, statSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type EngineAddress, readPem } from "#docker/engine/engine-address.js";
import type { EngineListener } from "#docker/engine/events.js";
import { type ChangedCalls, callText } from "#docker/proxy/call.js";
import { checkListeners, openListeners } from "#docker/proxy/open-listeners.js";
import { answerError, forwardAnswer, forwardRequest, joinRaw, MAX_HEAD } from "#docker/proxy/pipe.js";
import { listenText, type ProxyOptions, parseListen } from "#docker/proxy/proxy-options.js";
import { errorText } from "#src/errors.js";
import { httpStatus } from "#src/http/error-status.js";
import { listen, type ServerAddress } from "#src/http/listen.js";
import { surviveErrors } from "#src/http/server.js";
import type { Log } from "#src/log.js";

/** Time limit for the head of a connection's first request. */
const HEAD_MS = 60_000;
/** Length of the queue of connections to accept: the engine's own. */
const BACKLOG = 4_096;
/** Calls after which client and engine leave HTTP on the same connection without an `Upgrade` header. */
const HIJACKED = /^POST (?:\/v[\d.]+)?\/(?:containers\/[^/ ]+\/attach|exec\/[^/ ]+\/start)[? ]/;
const UPGRADE = /^upgrade:/im;

export interface ProxyDeps {
  /** Address of the engine that calls are forwarded to. */
  readonly engine: EngineAddress;
  readonly log: Log;
}

/**
 * Proxy of Docker's API that attaches containers to the overlay. It changes only the calls that this requires. Until {@link serve} all calls
 * pass unchanged: a user's `docker run` must not fail because the router is starting.
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

  /** Opens all listeners. @throws WEAVE_PORT_IN_USE, WEAVE_FLAG_INVALID, WEAVE_API; then none listens */
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

  /** Starts to change calls. */
  serve(calls: ChangedCalls): void {
    this.#calls = calls;
  }

  /** Addresses of the listeners. `weave env` prints the first. */
  get addresses(): readonly string[] {
    return this.#listening.map(listenText);
  }

  /** Those of {@link addresses} that serve any client that can connect. */
  get open(): readonly string[] {
    return openListeners(this.#options, this.#deps.engine).map((text) => listenText(parseListen(text)));
  }

  /** Copies the permissions again: the engine's socket may have another owner or mode than before. */
  connected(): void {
    try {
      this.#copySocketPermissions();
    } catch (error) {
      this.#deps.log.warn("the permissions of the engine's socket were not copied to the proxy's", {
        why: errorText(error),
      });
    }
  }

  /** Closes the listeners and their connections. Node removes the files of Unix sockets. */
  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Copies owner and mode of the engine's socket to the proxy's, so that the same users may use both. */
  #copySocketPermissions(): void {
    const { engine } = this.#deps;
    for (const address of this.#listening) {
      if (!("path" in address)) continue;
      const stat = "socketPath" in engine ? statSync(engine.socketPath, { throwIfNoEntry: false }) : undefined;
      // For an engine on TCP, or one that does not run, no file shows the permitted users: only root is.
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
      // The socket's owner is that of the engine's socket, which need not be root.
      anyOwner: true,
    });
    this.#servers.push(server);
    this.#listening.push(address);
    this.#copySocketPermissions();
  }

  #httpServer(): Server {
    const server = createHttpServer(
      // Old clients send a path as Host, and builds may send their body for hours.
      { maxHeaderSize: MAX_HEAD, requireHostHeader: false, requestTimeout: 0, headersTimeout: HEAD_MS },
      (request, response) => void this.#serve(request, response),
    );
    server.timeout = 0;
    // Node's types lack this option. With it a client that ends its side still receives its answer.
    Object.assign(server, { httpAllowHalfOpen: true });
    // Idle connections stay open, as with the engine.
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

  /** Reads the head of a connection's first request. A connection that leaves HTTP does not go to the HTTP server. */
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
    // The client has closed the connection.
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
