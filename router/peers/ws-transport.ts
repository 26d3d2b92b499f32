import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import { MAX_FRAME_BYTES } from "#mesh/connection/channel.js";
import { FairSlots } from "#mesh/connection/fair-slots.js";
import { MAX_PEERS } from "#mesh/peer.js";
import type { Wire, WireHandlers } from "#mesh/transport.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { bindTcp, cannotListen, tcpQuietMs, tcpRoundTripMs } from "#src/linux/native/tcp.js";
import { listenEndpoint } from "#src/net/endpoint.js";
import { fairnessKey, plainAddress } from "#src/net/family.js";
import { hostPortText } from "#src/net/host-port.js";
import { systemRandom } from "#src/random.js";

/** Time limit of the WebSocket handshake, sufficient for a distant, busy peer. The mesh has shorter limits of its own. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Time limit for the HTTP request of a peer, which is one packet sent right after the TCP handshake. */
const REQUEST_TIMEOUT_MS = 5_000;
/** Interval of Node's check for late requests; Node's default is 30 s. */
const LATE_CHECK_MS = 1_000;
/** Time limit for the closing handshake: bytes sent before it must arrive. The types of the package `ws` lack this option. */
const CLOSING: object = { closeTimeout: 2_000 };
const SUBPROTOCOL = "weave-mesh";
/** Maximum bytes of the HTTP headers: peers send fewer. */
const MAX_HEADER_BYTES = 4_096;
/** Maximum number of TCP connections: twice the maximum number of peers. Also the limit without --conn-limit. */
const MAX_CONNECTIONS = 2 * MAX_PEERS;
/** Maximum TCP connections that are not WebSockets yet, in total and from one address. */
const UNAUTHENTICATED = { total: 1_024, each: 128 };

/**
 * The WebSocket of a client that may be a stranger: whatever arrives, no frame leaves that the mesh did not send. Where RFC 6455 wants
 * a closing frame with a status, the connection ends without one.
 */
class QuietWebSocket extends WebSocket {
  /** Called by `ws` for each violation of its protocol, and for a closing frame of the client. */
  override close(): void {
    this.terminate();
  }

  /** Closes after all sent bytes, with a closing frame: for a peer that is authenticated. */
  farewell(): void {
    super.close();
  }
}

/** A WebSocket (RFC 6455) as the mesh's {@link Wire}. */
class WebSocketWire implements Wire {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly #socket: WebSocket;
  readonly #tcp: Socket;
  #handlers: WireHandlers | undefined;
  #reason = "connection closed by the peer";

  constructor(socket: WebSocket, tcp: Socket) {
    this.#socket = socket;
    this.#tcp = tcp;
    this.remoteAddress = hostPortText(plainAddress(tcp.remoteAddress), tcp.remotePort!);
    this.localAddress = hostPortText(plainAddress(tcp.localAddress), tcp.localPort!);
    tcp.setNoDelay(true);
    socket.on("error", (error) => {
      this.#reason = explain(error);
    });
    socket.on("message", (data: RawData, binary: boolean) => {
      if (binary) this.#handlers?.message(data as Buffer);
      else this.#socket.terminate();
    });
    socket.on("close", () => {
      const handlers = this.#handlers;
      this.#handlers = undefined;
      handlers?.closed(this.#reason);
    });
  }

  get buffered(): number {
    return this.#socket.bufferedAmount;
  }

  get received(): number {
    return this.#tcp.bytesRead;
  }

  get quietMs(): number | undefined {
    return this.#measured(tcpQuietMs);
  }

  get roundTripMs(): number | undefined {
    return this.#measured(tcpRoundTripMs);
  }

  /** Node has no public API for the descriptor. Without the descriptor the value is unknown. */
  #measured(read: (fd: number) => number | undefined): number | undefined {
    const { _handle } = this.#tcp as Socket & { _handle?: { fd?: number } | null };
    return typeof _handle?.fd === "number" && _handle.fd >= 0 ? read(_handle.fd) : undefined;
  }

  listen(handlers: WireHandlers): void {
    this.#handlers = handlers;
    this.#socket.resume();
  }

  send(bytes: Uint8Array, sent?: () => void): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytes, sent);
    else sent?.();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#handlers = undefined;
    if (this.#socket instanceof QuietWebSocket) this.#socket.farewell();
    else this.#socket.close();
  }

  terminate(): void {
    this.#handlers = undefined;
    this.#socket.terminate();
  }
}

/**
 * Dials a peer.
 *
 * @param localAddress the local address of the connection; undefined for any
 */
export function dialWebSocket(address: string, localAddress: string | undefined, signal: AbortSignal): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${address}/`, SUBPROTOCOL, {
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      ...CLOSING,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      ...(localAddress ? { localAddress } : {}),
    });
    const abort = () => socket.terminate();
    signal.addEventListener("abort", abort, { once: true });
    let tcp: Socket | undefined;
    socket.once("upgrade", (response) => {
      tcp = response.socket;
    });
    const failed = (error: Error) => {
      signal.removeEventListener("abort", abort);
      reject(new WeaveError("WEAVE_CONNECTION", `dial tcp ${address}: ${explain(error)}`, { cause: error }));
    };
    // The listener stays: a later error without a listener would end the process.
    socket.on("error", failed);
    socket.once("open", () => {
      signal.removeEventListener("abort", abort);
      // No message is read before the mesh listens.
      socket.pause();
      resolve(new WebSocketWire(socket, tcp!));
    });
  });
}

export interface WebSocketListener {
  close(): Promise<void>;
}

/**
 * Listens for peers. The answer to all but a peer's WebSocket is one: the connection is closed, and no byte is sent. A scan of the port
 * learns neither the product nor its version, nor what was wrong.
 *
 * @param host "" for all addresses
 * @throws WEAVE_PORT_IN_USE, WEAVE_CONNECTION
 */
export function listenWebSocket(host: string, port: number, accept: (wire: Wire) => void): Promise<WebSocketListener> {
  return new Promise((resolve, reject) => {
    const http = createServer({
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: LATE_CHECK_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Node would answer a request without it by itself.
      requireHostHeader: false,
    });
    http.maxConnections = MAX_CONNECTIONS;
    const pending = new FairSlots<Socket>(systemRandom, UNAUTHENTICATED);
    http.on("connection", (socket) => {
      const source = sourceOf(socket);
      pending.add(source, socket)?.destroy();
      socket.once("close", () => pending.delete(source, socket));
    });
    const server = new WebSocketServer({
      noServer: true,
      WebSocket: QuietWebSocket,
      autoPong: false,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      ...CLOSING,
      handleProtocols: () => SUBPROTOCOL,
    });
    refuseQuietly(http, server);
    http.on("upgrade", (request, socket, head) => {
      if (!isPeerRequest(request)) socket.destroy();
      else
        server.handleUpgrade(request, socket, head, (webSocket) => {
          pending.delete(sourceOf(request.socket), request.socket);
          webSocket.pause();
          // A peer sends none.
          webSocket.on("ping", () => webSocket.terminate());
          accept(new WebSocketWire(webSocket, request.socket));
        });
    });
    const at = listenEndpoint(host, port);
    http.once("error", (error) => reject(cannotListen(at, error.message, systemCode(error) === "EADDRINUSE", error)));
    http.listen({ fd: bindTcp(at) }, () => {
      http.on("error", () => {});
      resolve({
        close: () =>
          new Promise((done) => {
            for (const client of server.clients) client.terminate();
            http.close(() => done());
            http.closeAllConnections();
          }),
      });
    });
  });
}

/** Replaces all answers that Node and `ws` have for wrong requests. */
function refuseQuietly(http: Server, server: WebSocketServer): void {
  const quietly = (request: IncomingMessage) => void request.socket.destroy();
  http.on("request", quietly);
  // Of "Expect: 100-continue", and of other expectations.
  http.on("checkContinue", quietly);
  http.on("checkExpectation", quietly);
  http.on("connect", quietly);
  // Bytes that are no request, too long or late ones.
  http.on("clientError", (_error, socket) => void socket.destroy());
  server.on("wsClientError", (_error, socket) => void socket.destroy());
}

/** Whether a request for an upgrade is one of a peer, as far as `ws` does not check it. */
function isPeerRequest({ url, headers }: IncomingMessage): boolean {
  return url === "/" && headers["sec-websocket-protocol"] === SUBPROTOCOL;
}

/** The source that limits count by. */
const sourceOf = ({ remoteAddress }: Socket): string => fairnessKey(plainAddress(remoteAddress));

function explain(error: unknown): string {
  switch (systemCode(error)) {
    case "ECONNREFUSED":
      return "connect: connection refused";
    case "ENETUNREACH":
      return "connect: network is unreachable";
    case "EHOSTUNREACH":
      return "connect: no route to host";
    case "ETIMEDOUT":
      return "connect: connection timed out";
    case "ECONNRESET":
      return "connection reset by peer";
    default:
      return errorText(error);
  }
}
