import { readSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import koffi from "koffi";
import type { Connection } from "#mesh/connection/connection.js";
import { keyPair } from "#mesh/handshake/noise.js";
import { Mesh } from "#mesh/mesh.js";
import { oneSecret } from "#mesh/secrets.js";
import { makeSigner } from "#mesh/signing.js";
import { memoryTrust } from "#mesh/trust/trust.js";
import type { CarrierKind } from "#router/carriers/carrier.js";
import { Carriers } from "#router/carriers/carriers.js";
import { Datapath } from "#router/datapath/datapath.js";
import { FrameWorkers } from "#router/datapath/frame-workers.js";
import { AT_LANE } from "#router/datapath/record.js";
import { frameRouteTable } from "#router/frames/route-table.js";
import { nextHopTo } from "#router/frames/thread-events.js";
import { dialWebSocket, listenWebSocket, type WebSocketListener } from "#router/peers/ws-transport.js";
import { systemClock } from "#src/clock.js";
import { closeFd } from "#src/linux/native/files.js";
import { type FrameSockets, openFrameSockets } from "#src/linux/native/udp.js";
import { silentLog } from "#src/log.js";
import { macNumber } from "#src/mac.js";
import { endpoint } from "#src/net/endpoint.js";
import { systemRandom } from "#src/random.js";

const AF_UNIX = 1;
const SEQPACKET_NONBLOCK = 5 | 0x800;
const socketpair = koffi.load(null).func("int socketpair(int, int, int, _Out_ int *)");
const FRAME_BYTES = 9_000;
const WAIT_MS = 20_000;

/**
 * A router without a host: mesh, carriers, frame threads and sockets are the real ones; in place of the TAP is a socket pair,
 * whose other end the test writes frames to and reads frames from.
 */
export class FrameRouter {
  readonly mesh: Mesh;
  readonly host: string;
  readonly #datapath: Datapath;
  readonly #carriers: Carriers;
  readonly #sockets: FrameSockets;
  readonly #fds: readonly [number, number];
  #listener: WebSocketListener | undefined;

  /**
   * @param index from 1: the router listens at 127.0.7.`index`
   * @param listed the list in its hello, where that is not the list of `kinds`
   */
  constructor(index: number, kinds: readonly CarrierKind[], port: number, listed?: readonly string[]) {
    const name = `02:00:00:00:07:0${index}`;
    this.host = `127.0.7.${index}`;
    const fds = new Int32Array(2);
    if (socketpair(AF_UNIX, SEQPACKET_NONBLOCK, 0, fds) !== 0) throw new Error("socketpair failed");
    this.#fds = [fds[0], fds[1]];
    this.#sockets = openFrameSockets(endpoint(this.host, port), 1, AT_LANE, { segment: true, gro: true });
    const none = { vnetHeader: false, tso: false, uso: false };
    this.#datapath = new Datapath({
      self: macNumber(name),
      tap: { fds: [fds[0]], name: "none", offloads: none, close() {} },
      sockets: this.#sockets,
      openssl: true,
      workers: new FrameWorkers({
        threads: 1,
        cpuMs: 0,
        nice: 0,
        offloads: { ...none, segment: true, gro: true, openssl: true },
        onFailure: (error) => {
          throw error;
        },
      }),
      onEvent: (event) => {
        if ("session" in event) this.#carriers.onEvent(event);
      },
    });
    this.#carriers = new Carriers({
      carriers: kinds,
      datapath: this.#datapath,
      bridge: { name: "weave", mtu: 1_376 },
      linkMtu: async () => 1_500,
      sourceTo: async () => undefined,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
    });
    const signer = makeSigner(systemRandom.bytes(32));
    const mesh: Mesh = new Mesh({
      name,
      nickname: `h${index}`,
      incarnation: Date.now(),
      staticKey: keyPair(systemRandom.bytes(32)),
      secrets: oneSecret(undefined),
      signer,
      trust: memoryTrust({ self: { name, identity: signer.identity }, clock: systemClock }),
      port,
      discovery: false,
      connectionLimit: 0,
      clear: () => false,
      overlay: { carriers: listed ?? this.#carriers.carriers, open: (link) => this.#carriers.open(link) },
      dial: (address, signal) => dialWebSocket(address, this.host, signal),
      resolve: async (host) => [host],
      ownAddresses: () => new Set([this.host]),
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      events: {
        routes: () => {
          const routes = frameRouteTable(mesh.frameRoutes, (peer) => nextHopTo(mesh, peer));
          this.#datapath.send({ do: "routes", routes });
        },
        suspended() {},
        resumed() {},
        forgotten() {},
        incarnation() {},
        targets() {},
      },
    });
    this.mesh = mesh;
  }

  async listen(port: number): Promise<void> {
    this.#listener = await listenWebSocket(this.host, port, (wire) => this.mesh.accept(wire));
  }

  get connection(): Connection | undefined {
    return this.mesh.status().connections[0];
  }

  /** The carrier in use, why, and the states of all. */
  get diagnostics() {
    return this.connection?.overlay?.diagnostics();
  }

  write(frame: Uint8Array): void {
    writeSync(this.#fds[1], frame);
  }

  /** The next frame that is delivered here; undefined: none is there. */
  read(): Buffer | undefined {
    const frame = Buffer.alloc(FRAME_BYTES);
    try {
      return frame.subarray(0, readSync(this.#fds[1], frame));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.mesh.stop();
    await this.#listener?.close();
    await this.#datapath.stop();
    for (const fd of [...this.#fds, ...this.#sockets.fds]) closeFd(fd);
  }
}

/** Waits until it holds. @throws after 20 s */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    if (waited > WAIT_MS) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
    await sleep(10);
  }
}
