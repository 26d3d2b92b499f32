/** The way of one frame that is alone: how many native calls it takes, and that it is no detour for those that follow. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import koffi from "koffi";
import type { Command } from "#router/datapath/protocol.js";
import { AT_LANE } from "#router/datapath/record.js";
import { DatapathThread } from "#router/datapath/thread.js";
import { closeFd, readInto, WakeUp, writeFrom } from "#src/linux/native/files.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { libc, libcrypto } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { openFrameSockets } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import { endpoint } from "#src/net/endpoint.js";

const AF_UNIX = 1;
const SEQPACKET_NONBLOCK = 5 | 0x800;
const socketpair = koffi.load(null).func("int socketpair(int, int, int, _Out_ int *)");
const ALL = { vnetHeader: true, tso: true, uso: true, segment: true, gro: true, openssl: true };
/** Longer than the wait after which a frame counts as alone. */
const PAUSE_MS = 2;
const VNET = 10;
const HOST = "127.0.8.1";
/** Where both routers send their datagrams to. */
const WIRE_PORT = 7_703;
const pause = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

type Native = Record<string, (...args: number[]) => number>;
/** Called instead of a poll(2) that would block. */
let onIdle: (() => void) | undefined;
let calls: string[] = [];

// From here on every native call is noted, in order.
for (const functions of [libc, libcrypto] as unknown as (Native | undefined)[]) {
  for (const [name, call] of Object.entries(functions ?? {})) {
    functions![name] = (...args) => {
      if (name === "poll" && args[2] !== 0 && call(args[0], args[1], 0) === 0) onIdle?.();
      calls.push(name);
      return call(...args);
    };
  }
}

/** One router: its frame thread runs in this process, with a socket pair in place of the TAP. */
class Router {
  readonly #thread: DatapathThread;
  readonly #commands = new MessageChannel();
  readonly #wake = new WakeUp();
  readonly #commandCount = new Int32Array(new SharedArrayBuffer(4));
  readonly #memory = new Memory(70_000);
  readonly #fds: Int32Array;
  readonly port: number;

  constructor(t: TestContext, self: number, port: number, peer: number) {
    this.port = port;
    this.#fds = new Int32Array(2);
    assert.equal(socketpair(AF_UNIX, SEQPACKET_NONBLOCK, 0, this.#fds), 0);
    const sockets = openFrameSockets(endpoint(HOST, port), 1, AT_LANE, { segment: true, gro: true });
    this.#thread = new DatapathThread({
      self,
      lane: 0,
      lanes: 1,
      tapFd: this.#fds[0],
      tapName: "none",
      udpFd: sockets.fds[0],
      address: undefined,
      offloads: { ...ALL, ...sockets.offloads },
      wakeFd: this.#wake.fd,
      commands: this.#commands.port2,
      commandCount: this.#commandCount,
      emit: () => {},
    });
    const key = (of: number) => ({ session: 1, epoch: 0, key: new Uint8Array(32).fill(of), salt: new Uint8Array(4) });
    this.send({ do: "open", session: 1, peer, encrypted: true, host: HOST });
    this.send({ do: "key", direction: "seal", ...key(self) });
    this.send({ do: "key", direction: "open", ...key(peer) });
    this.send({ do: "remote", session: 1, remoteSession: 1 });
    this.send({
      do: "datagrams",
      session: 1,
      address: endpoint(HOST, WIRE_PORT),
      source: undefined,
      datagramBytes: 1_472,
      datagramsPerRecord: 8,
      batches: true,
    });
    const routes = { unicast: new Map([[peer, 1]]), flood: new Map([[self, [1]]]), relays: new Map() };
    this.send({ do: "routes", routes });
    this.send({ do: "learn", mac: 0x020000000000 + peer, peer });
    t.after(() => {
      this.#commands.port1.close();
      for (const fd of [...this.#fds, ...sockets.fds, this.#wake.fd]) closeFd(fd);
    });
  }

  send(command: Command): void {
    this.#commands.port1.postMessage(command);
    Atomics.add(this.#commandCount, 0, 1);
    this.#wake.signal();
  }

  /**
   * Runs the thread: each step is done when it would wait, and gives it a packet. Returns the native calls from each step to the next
   * wait, that one included.
   */
  run(...steps: (() => void)[]): string[][] {
    const [outer, noted] = [onIdle, [] as string[][]];
    const left = [...steps, () => this.send({ do: "stop" })];
    onIdle = () => {
      if (left.length <= steps.length) noted.push([...calls]);
      pause(PAUSE_MS);
      left.shift()!();
      calls = [];
    };
    this.#thread.run();
    onIdle = outer;
    return noted;
  }

  /** A frame of the host's bridge. */
  write(frame: Uint8Array): void {
    this.#memory.u8.set(frame);
    assert.equal(writeFrom(this.#fds[1], this.#memory, 0, frame.length), frame.length);
  }

  /** The next frame that is delivered here; undefined: none is there. */
  read(): Buffer | undefined {
    const length = readInto(this.#fds[1], this.#memory, 0, 70_000);
    return length < 0 ? undefined : Buffer.from(this.#memory.u8.slice(0, length));
  }
}

/** A frame with its virtio header, from MAC 2::from to MAC 2::to, or to all. */
function frame(from: number, to: number | undefined, payload: number): Uint8Array {
  const bytes = new Uint8Array(VNET + 14 + payload).fill(from, VNET + 14);
  if (to === undefined) bytes.fill(0xff, VNET, VNET + 6);
  else bytes.set([2, 0, 0, 0, 0, to], VNET);
  bytes.set([2, 0, 0, 0, 0, from, 0x88, 0xb5], VNET + 6);
  return bytes;
}

/** Keeps the datagrams that were sent to it, and passes them on. */
class Wire {
  readonly #fd: number;
  readonly #receiver: UdpReceiver;
  readonly #sender: UdpSender;
  readonly #memory = new Memory(2_048);
  readonly #parts = new IoVector(1);

  constructor(t: TestContext, port: number) {
    [this.#fd] = openFrameSockets(endpoint(HOST, port), 1, AT_LANE, { segment: false, gro: false }).fds;
    this.#receiver = new UdpReceiver(this.#fd);
    this.#sender = new UdpSender(this.#fd, false);
    t.after(() => closeFd(this.#fd));
  }

  /** Passes one datagram on. False: there is none. */
  pass(port: number): boolean {
    this.#parts.clear();
    this.#parts.push(this.#memory, 0, 2_048);
    const length = this.#receiver.receive(this.#parts);
    if (length < 0) return false;
    this.#parts.clear();
    this.#parts.push(this.#memory, 0, length);
    const path = { address: endpoint(HOST, port), source: undefined, batches: false };
    assert.equal(this.#sender.send(this.#parts, length, 1, path), length);
    return true;
  }
}

/** The calls of a turn without those of the wait behind it, which polls for a while. */
function work(calls: readonly string[]): readonly string[] {
  return calls.slice(0, calls.findLastIndex((name) => name !== "poll") + 1);
}

test("a lone frame takes five native calls from the TAP to the network, and five the other way", (t) => {
  const wire = new Wire(t, WIRE_PORT);
  const [a, b] = [new Router(t, 1, 7_701, 2), new Router(t, 2, 7_702, 1)];
  const frames = [60, 60, 1_380, 60].map((payload) => frame(2, 1, payload));
  let sent: string[][] = [];
  const received = a.run(
    () => {
      sent = b.run(...frames.map((bytes) => () => b.write(bytes)));
      assert.ok(wire.pass(a.port));
    },
    ...frames.slice(1).map(() => () => assert.ok(wire.pass(a.port))),
  );
  for (const bytes of frames) assert.deepEqual(a.read(), Buffer.from(bytes));
  assert.equal(a.read(), undefined);
  assert.deepEqual(
    sent.map(work),
    frames.map(() => ["poll", "read", "control", "cipher", "sendmsg"]),
  );
  // The first record of a peer makes its key.
  const way = ["poll", "recvmsg", "control", "cipher", "write"];
  assert.deepEqual(
    received.slice(1).map(work),
    frames.slice(1).map(() => way),
  );
});

test("frames that come at once are no lone frames: they share a record, and a call that sends it", (t) => {
  const wire = new Wire(t, WIRE_PORT);
  const [a, b] = [new Router(t, 1, 7_701, 2), new Router(t, 2, 7_702, 1)];
  const frames = Array.from({ length: 8 }, (_, i) => frame(2, 1, 60 + i));
  const sent: string[][] = [];
  a.run(() => {
    sent.push(
      ...b.run(() => {
        for (const bytes of frames) b.write(bytes);
      }),
    );
    while (wire.pass(a.port));
  });
  for (const bytes of frames) assert.deepEqual(a.read(), Buffer.from(bytes));
  // The first of them leaves at once; on a slow machine so do some more.
  const sends = sent.flat().filter((name) => name === "sendmsg").length;
  assert.ok(sends < frames.length, `${sends} calls for ${frames.length} frames`);
});
