import { Agent, type AgentOptions } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import type { EngineAddress } from "#docker/engine/engine-address.js";
import { systemCode } from "#src/errors.js";

/** Time for which a connection is retried that a Unix socket with a full queue rejects with EAGAIN (unix(7)). */
const BUSY_MS = 5_000;
/** Interval between these retries. */
const BUSY_RETRY_MS = 10;

/**
 * Connects to an engine. The answer can be read to its end even when the engine no longer reads: writes then succeed without
 * effect, and the end of the reading side shows how the connection ended. Node would discard the answer at the first failed write.
 *
 * @param halfOpen whether our side stays open when the engine has ended its side
 * @throws system errors of connect(2) and errors of the TLS handshake
 */
export async function openConnection(address: EngineAddress, halfOpen = false): Promise<Socket> {
  const deadline = performance.now() + BUSY_MS;
  for (;;) {
    try {
      return await openOnce(address, halfOpen);
    } catch (error) {
      if (systemCode(error) !== "EAGAIN" || performance.now() > deadline) throw error;
    }
    await sleep(BUSY_RETRY_MS);
  }
}

function openOnce(address: EngineAddress, allowHalfOpen: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let socket: Socket;
    if ("socketPath" in address) socket = connect({ path: address.socketPath, allowHalfOpen });
    else {
      const { host, port, tls } = address;
      const options = { host, port, allowHalfOpen };
      // The types of tls.connect() lack allowHalfOpen.
      socket = tls === undefined ? connect(options) : tlsConnect({ ...options, ...tls } as never);
    }
    const ready = "host" in address && address.tls !== undefined ? "secureConnect" : "connect";
    socket.once("error", reject);
    socket.once(ready, () => {
      socket.off("error", reject);
      resolve(ignoreWriteErrors(socket.setNoDelay(true)));
    });
  });
}

/** Replaces the stream's write methods by ones that report every write as done: see {@link openConnection}. */
function ignoreWriteErrors(socket: Socket): Socket {
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

/** HTTP agent whose connections lead to an engine. With `keepAlive` a connection serves several calls, until {@link close}. */
export class EngineAgent extends Agent {
  readonly #address: EngineAddress;
  #closed = false;

  constructor(address: EngineAddress, options: AgentOptions) {
    super(options);
    this.#address = address;
  }

  override createConnection(
    _options: unknown,
    done: (error: Error | null, stream: Duplex) => void = () => {},
  ): undefined {
    // Node itself reports an error without a stream.
    const failed = (error: Error) => done(error, undefined as never);
    openConnection(this.#address).then((socket) => {
      if (!this.#closed) return done(null, socket);
      socket.destroy();
      failed(new Error("the client has closed the connection"));
    }, failed);
  }

  /** Closes all connections, also those that are not complete yet. */
  close(): void {
    this.#closed = true;
    this.destroy();
  }
}
