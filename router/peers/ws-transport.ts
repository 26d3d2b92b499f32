import { createServer } from "node:http";
import type { Socket } from "node:net";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import { MAX_FRAME_BYTES } from "#mesh/channel.js";
import { FairSlots } from "#mesh/fair-slots.js";
import { MAX_PEERS } from "#mesh/peer.js";
import type { Wire, WireHandlers } from "#mesh/transport.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { bindTcp, cannotListen, tcpQuietMs } from "#src/linux/native/tcp.js";
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
    // Node has no public API for the descriptor. Without the descriptor the time is unknown.
    const { _handle } = this.#tcp as Socket & { _handle?: { fd?: number } | null };
    return typeof _handle?.fd === "number" && _handle.fd >= 0 ? tcpQuietMs(_handle.fd) : undefined;
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
    this.#socket.close();
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
 * Listens for peers.
 *
 * @param host "" for all addresses
 * @throws WEAVE_PORT_IN_USE, WEAVE_CONNECTION
 */
export function listenWebSocket(host: string, port: number, accept: (wire: Wire) => void): Promise<WebSocketListener> {
  return new Promise((resolve, reject) => {
    const http = createServer(
      {
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: LATE_CHECK_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (_request, response) => response.writeHead(426, { Connection: "close" }).end("this port is for weave peers\n"),
    );
    http.maxConnections = MAX_CONNECTIONS;
    const pending = new FairSlots<Socket>(systemRandom, UNAUTHENTICATED);
    http.on("connection", (socket) => {
      const source = sourceOf(socket);
      pending.add(source, socket)?.destroy();
      socket.once("close", () => pending.delete(source, socket));
    });
    const server = new WebSocketServer({
      server: http,
      path: "/",
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      ...CLOSING,
      handleProtocols: (protocols) => (protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    server.on("connection", (socket, request) => {
      pending.delete(sourceOf(request.socket), request.socket);
      socket.pause();
      accept(new WebSocketWire(socket, request.socket));
    });
    const at = listenEndpoint(host, port);
    server.once("error", (error) => reject(cannotListen(at, error.message, systemCode(error) === "EADDRINUSE", error)));
    http.listen({ fd: bindTcp(at) }, () => {
      server.on("error", () => {});
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
