/**
 * `node every-length.js FIRST:LAST:STEP,… [OFFLOAD…]`, in a network namespace of its own: two routers' frame threads, each with a real TAP,
 * connected over loopback. Frames of each length, in bytes, are written to the one TAP's interface, and must arrive at the other's as they
 * were. The offloads named are off at both ends. Prints how many did.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import koffi from "koffi";
import { Datapath } from "#router/datapath/datapath.js";
import { FrameWorkers } from "#router/datapath/frame-workers.js";
import { allowedOffloads } from "#router/datapath/offloads.js";
import type { Command, OffloadName } from "#router/datapath/protocol.js";
import { AT_LANE } from "#router/datapath/record.js";
import { closeFd, PollSet, readInto, writeFrom } from "#src/linux/native/files.js";
import { libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { openTap } from "#src/linux/native/tap.js";
import { openFrameSockets } from "#src/linux/native/udp.js";
import { endpoint } from "#src/net/endpoint.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** The largest of a TAP. */
const MTU = 65_521;
const PORT = 7_800;
/** Experimental (IEEE 802, local): no kernel looks into them. */
const ETHERTYPE = 0x88b5;
const HEADERS = 14;
/** Bytes that are under way at a time, at most: they fit the send buffer of a peer, also when the receiving thread waits for a core. */
const BATCH_BYTES = 1 << 18;
/** The same in frames: a TAP's queue has 1,000. */
const BATCH_FRAMES = 200;
const WAIT_MS = 5_000;
const ALIGNED = 16;

// linux/socket.h, linux/if_ether.h
const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0x800;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_SNDBUFFORCE = 32;
const BUFFER_BYTES = 64 << 20;

const [ranges, ...names] = process.argv.slice(2);
const off = names as OffloadName[];
const random = seededRandom(1).bytes(2 * MTU);
const memory = new Memory(4 * MTU);
const received = new Memory(2 * MTU);
memory.u8.set(random);

const macOf = (router: number) => [2, 0, 0, 0, 0, router];

/** A socket on an interface: what is written to it leaves by the interface, and what it reads came in. */
function packetSocket(device: string): number {
  const fd = libc.socket(AF_PACKET, SOCK_RAW_NONBLOCK, 0);
  const at = new Memory(64);
  at.view.setInt32(32, BUFFER_BYTES, true);
  for (const option of [SO_RCVBUFFORCE, SO_SNDBUFFORCE])
    assert.equal(libc.setsockopt(fd, SOL_SOCKET, option, at.at(32, 4), 4), 0);
  // struct sockaddr_ll: family, protocol in network order, index of the interface.
  at.view.setUint16(0, AF_PACKET, true);
  at.view.setUint16(2, ETHERTYPE, false);
  at.view.setInt32(4, libc.interfaceIndex(device), true);
  assert.equal(libc.bind(fd, at.at(0, 20), 20), 0, `bind: errno ${koffi.errno()}`);
  return fd;
}

/** One router: frame thread, TAP and socket; the other one is its only peer. */
class Router {
  readonly datapath: Datapath;
  readonly packets: number;
  readonly #close: () => void;

  constructor(self: number, peer: number) {
    const allowed = allowedOffloads(off);
    const tap = openTap(`tap${self}`, 1, allowed);
    execFileSync("sysctl", ["-qw", `net.ipv6.conf.tap${self}.disable_ipv6=1`]);
    execFileSync("ip", ["link", "set", `tap${self}`, "mtu", String(MTU), "up"]);
    const sockets = openFrameSockets(endpoint("127.0.0.1", PORT + self), 1, AT_LANE, allowed);
    this.datapath = new Datapath({
      self,
      openssl: allowed.openssl,
      tap,
      sockets,
      workers: new FrameWorkers({
        threads: 1,
        cpuMs: 0,
        nice: 0,
        offloads: allowed,
        onFailure: (error) => {
          throw error;
        },
      }),
      onEvent: (event) => {
        if (event.event === "fault") console.error(event.message);
      },
    });
    this.packets = packetSocket(`tap${self}`);
    const key = (of: number) => ({ session: 1, epoch: 0, key: new Uint8Array(32).fill(of), salt: new Uint8Array(4) });
    const commands: Command[] = [
      { do: "open", session: 1, peer, encrypted: true, host: "127.0.0.1" },
      { do: "key", direction: "seal", ...key(self) },
      { do: "key", direction: "open", ...key(peer) },
      { do: "remote", session: 1, remoteSession: 1 },
      {
        do: "datagrams",
        session: 1,
        address: endpoint("127.0.0.1", PORT + peer),
        source: undefined,
        datagramBytes: 1_472,
        datagramsPerRecord: 8,
        batches: true,
      },
      { do: "routes", routes: { unicast: new Map([[peer, 1]]), flood: new Map([[self, [1]]]), relays: new Map() } },
      { do: "learn", mac: 0x020000000000 + peer, peer },
    ];
    for (const command of commands) this.datapath.send(command);
    this.#close = () => {
      for (const fd of sockets.fds) closeFd(fd);
      tap.close();
    };
  }

  async close(): Promise<void> {
    await this.datapath.stop();
    closeFd(this.packets);
    this.#close();
  }
}

/** Sends one frame of each length; all must arrive, in order. */
function exchange(from: Router, to: Router, lengths: readonly number[], poll: PollSet): void {
  for (const length of lengths) {
    // Contents of the frame: those behind a place that depends on its length.
    memory.u8.set(random.subarray(length % 251, (length % 251) + length - HEADERS), HEADERS);
    assert.equal(
      writeFrom(from.packets, memory, 0, length),
      length,
      `${length} bytes are sent: errno ${koffi.errno()}`,
    );
  }
  for (const length of lengths) {
    let count = readInto(to.packets, received, ALIGNED, 2 * MTU - ALIGNED);
    const end = performance.now() + WAIT_MS;
    while (count < 0 && performance.now() < end) {
      poll.wait(100);
      count = readInto(to.packets, received, ALIGNED, 2 * MTU - ALIGNED);
    }
    assert.equal(count, length, `a frame of ${length} bytes arrives`);
    const expected = random.subarray(length % 251, (length % 251) + length - HEADERS);
    const bytes = received.u8.subarray(ALIGNED + HEADERS, ALIGNED + length);
    assert.equal(Buffer.compare(bytes, expected), 0, `a frame of ${length} bytes arrives as it was`);
  }
}

// The threads would go on.
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});
const [a, b] = [new Router(1, 2), new Router(2, 1)];
// The threads have started, and know one another.
for (const { datapath } of [a, b]) assert.ok(await datapath.report());
memory.u8.set([...macOf(2), ...macOf(1), ETHERTYPE >>> 8, ETHERTYPE & 255]);
const poll = new PollSet([b.packets]);
let done = 0;
let [lengths, bytes]: [number[], number] = [[], 0];
for (const range of ranges.split(",")) {
  const [first, last, step] = range.split(":").map(Number);
  for (let length = first; length <= last; length += step) {
    if (bytes + length > BATCH_BYTES || lengths.length === BATCH_FRAMES) {
      exchange(a, b, lengths, poll);
      done += lengths.length;
      [lengths, bytes] = [[], 0];
    }
    lengths.push(length);
    bytes += length;
  }
}
exchange(a, b, lengths, poll);
console.log(done + lengths.length);
await Promise.all([a.close(), b.close()]);
process.exit(0);
