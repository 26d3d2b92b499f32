import { Agent, type AgentOptions } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import type { EngineAddress } from "#docker/engine/engine-address.js";
import { systemCode } from "#src/errors.js";

/** A Unix socket whose queue is full refuses with EAGAIN (unix(7)) and has taken nothing: tried again for this long. */
const BUSY_MS = 5_000;
const BUSY_RETRY_MS = 10;

/**
 * Connects to an engine. An answer can be read from the connection to its end, also after the engine has refused to take
 * more of what it is sent: `write` then succeeds, what it has is dropped, and the reading side shows how the connection ended.
 * Node would discard the answer with the first refused write.
 *
 * @param halfOpen whether we may go on to send when the engine has ended its side
 * @throws what connect(2) and the TLS handshake give
 */
export async function openConnection(endpoint: EngineAddress, halfOpen = false): Promise<Socket> {
  const last = performance.now() + BUSY_MS;
  for (;;) {
    try {
      return await openOnce(endpoint, halfOpen);
    } catch (error) {
      if (systemCode(error) !== "EAGAIN" || performance.now() > last) throw error;
    }
    await sleep(BUSY_RETRY_MS);
  }
}

function openOnce(endpoint: EngineAddress, allowHalfOpen: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let socket: Socket;
    if ("socketPath" in endpoint) socket = connect({ path: endpoint.socketPath, allowHalfOpen });
    else {
      const { host, port, tls } = endpoint;
      const options = { host, port, allowHalfOpen };
      // The types of tls.connect() lack what it passes on to the connection below.
      socket = tls === undefined ? connect(options) : tlsConnect({ ...options, ...tls } as never);
    }
    const ready = "host" in endpoint && endpoint.tls !== undefined ? "secureConnect" : "connect";
    socket.once("error", reject);
    socket.once(ready, () => {
      socket.off("error", reject);
      resolve(acceptingRefusals(socket.setNoDelay(true)));
    });
  });
}

/** Has the stream's own methods report every write as done: see {@link openConnection}. */
function acceptingRefusals(socket: Socket): Socket {
  const { _write: write, _writev: writev, _final: final } = socket;
  let refused = false;
  const settle = (done: () => void) => (error?: Error | null) => {
    refused ||= Boolean(error);
    done();
  };
  socket._write = (chunk, encoding, done) => (refused ? done() : write.call(socket, chunk, encoding, settle(done)));
  socket._writev = (chunks, done) => (refused ? done() : writev!.call(socket, chunks, settle(done)));
  socket._final = (done) => (refused ? done() : final.call(socket, settle(done)));
  return socket;
}

/** Connections to an engine for HTTP. With `keepAlive` a connection is used again, until {@link close}. */
export class EngineAgent extends Agent {
  readonly #endpoint: EngineAddress;
  #closed = false;

  constructor(endpoint: EngineAddress, options: AgentOptions) {
    super(options);
    this.#endpoint = endpoint;
  }

  override createConnection(
    _options: unknown,
    done: (error: Error | null, stream: Duplex) => void = () => {},
  ): undefined {
    // Without a stream, as Node itself reports an error.
    const failed = (error: Error) => done(error, undefined as never);
    openConnection(this.#endpoint).then((socket) => {
      if (!this.#closed) return done(null, socket);
      socket.destroy();
      failed(new Error("the client has gone away"));
    }, failed);
  }

  /** Ends all connections, those that are under way too. */
  close(): void {
    this.#closed = true;
    this.destroy();
  }
}
