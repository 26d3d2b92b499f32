import { keyPair } from "#mesh/handshake/noise.js";
import { Mesh } from "#mesh/mesh.js";
import type { MeshEvents, MeshOptions } from "#mesh/options.js";
import type { Overlay } from "#mesh/overlay.js";
import type { PeerName } from "#mesh/peer.js";
import { oneSecret } from "#mesh/secrets.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import type { Wire, WireHandlers } from "#mesh/transport.js";
import { memoryTrust } from "#mesh/trust/trust.js";
import { WeaveError } from "#src/errors.js";
import { type Log, silentLog } from "#src/log.js";
import type { Random } from "#src/random.js";
import { seededRandom, VirtualClock } from "./virtual-time.js";

/** An overlay that passes frames as soon as it is open. */
export const instant: Overlay = {
  carriers: ["instant"],
  open(link) {
    link.passes(true);
    return {
      name: "instant",
      nextHop: undefined,
      receive() {},
      status: () => ({}),
      diagnostics: () => ({ keyEpoch: 0, selection: undefined, carriers: [] }),
      stop() {},
    };
  },
};

/** RFC 6298, as Linux has it. */
const FIRST_RETRY_MS = 200;

/** One end of a connection in memory: ordered, with a delay, cut when a partition comes between. */
class MemoryWire implements Wire {
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly buffered = 0;
  received = 0;
  /** Time of the last packet from the other end, data or acknowledgement. */
  packetAt = 0;
  other!: MemoryWire;
  readonly #network: Network;
  #handlers: WireHandlers | undefined;
  #open = true;
  /** Messages that have arrived and are not read yet. */
  #unread: Uint8Array[] | undefined;
  readonly #waiting: (() => void)[] = [];
  #retrying = false;
  #retryMs = FIRST_RETRY_MS / 2;

  constructor(network: Network, localAddress: string, remoteAddress: string) {
    this.#network = network;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
  }

  get quietMs(): number {
    return this.#network.clock.now() - this.packetAt;
  }

  listen(handlers: WireHandlers): void {
    this.#handlers = handlers;
  }

  send(bytes: Uint8Array): void {
    if (!this.#open) return;
    this.#network.bytes += bytes.length;
    this.#network.messages++;
    this.#later(() => {
      this.other.received += bytes.length;
      this.other.#arrived(bytes);
    });
  }

  pause(): void {
    this.#unread ??= [];
  }

  resume(): void {
    const unread = this.#unread ?? [];
    this.#unread = undefined;
    for (const bytes of unread) this.#arrived(bytes);
  }

  #arrived(bytes: Uint8Array): void {
    if (this.#unread === undefined) this.#handlers?.message(bytes);
    else this.#unread.push(bytes);
  }

  close(): void {
    if (!this.#open) return;
    this.#later(() => this.other.#closed("connection reset by peer"));
    this.#open = false;
  }

  terminate(): void {
    this.close();
  }

  /** As TCP: in order, and a blocked packet is sent again, each time after twice as long. */
  #later(run: () => void): void {
    const { clock, delayMs } = this.#network;
    clock.after(delayMs, () => {
      this.#waiting.push(run);
      if (!this.#retrying) this.#deliver();
    });
  }

  #deliver(): void {
    const network = this.#network;
    this.#retrying = false;
    while (this.#waiting.length > 0) {
      if (network.blocked("tcp", this.localAddress, this.remoteAddress)) {
        this.#retrying = true;
        this.#retryMs = Math.min(60_000, this.#retryMs * 2);
        network.clock.after(this.#retryMs, () => this.#deliver());
        return;
      }
      this.#retryMs = FIRST_RETRY_MS / 2;
      this.other.packetAt = network.clock.now();
      if (!network.blocked("tcp", this.remoteAddress, this.localAddress)) this.packetAt = network.clock.now();
      const run = this.#waiting.shift()!;
      // In a partition nothing arrives; the ends detect it by their heartbeats.
      if (network.connected(this.localAddress, this.remoteAddress)) run();
    }
  }

  #closed(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#handlers?.closed(reason);
  }
}

export interface SimulatedPeer {
  readonly mesh: Mesh;
  readonly host: string;
  readonly name: PeerName;
  /** Events of the mesh about other peers, in order. */
  readonly seen: string[];
}

/** Any number of peers in one process, on a virtual clock. The seed determines all random choices. */
export class Network {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly delayMs: number;
  readonly peers = new Map<string, SimulatedPeer>();
  /** Names that the hosts resolve. */
  readonly names = new Map<string, string[]>();
  bytes = 0;
  messages = 0;
  #port = 40_000;
  #starts = 0;
  #group: (host: string) => number = () => 0;
  /** Whether a packet between two hosts is dropped silently. */
  drops: (protocol: "tcp" | "udp", from: string, to: string) => boolean = () => false;

  constructor(seed: number, delayMs = 2) {
    this.random = seededRandom(seed);
    this.delayMs = delayMs;
  }

  /** Starts peer `index`, at 10.0.x.y:6783. The same index again is the same host with the same key. */
  start(index: number, options: Partial<MeshOptions> = {}, log: Log = silentLog): SimulatedPeer {
    const host = simulatedHost(index);
    const name = options.name ?? `02:00:00:00:${hex(index >> 8)}:${hex(index & 255)}`;
    const seen: string[] = [];
    const events: MeshEvents = {
      routes() {},
      incarnation() {},
      targets() {},
      suspended: (peer) => void seen.push(`suspended ${peer}`),
      resumed: (peer) => void seen.push(`resumed ${peer}`),
      forgotten: (peer) => void seen.push(`forgotten ${peer}`),
    };
    const signer = options.signer ?? simulatedSigner(index);
    const mesh = new Mesh({
      name,
      nickname: `h${index}`,
      incarnation: this.clock.wall() + this.#starts++,
      staticKey: keyPair(seededRandom(index + 1_000_000).bytes(32)),
      secrets: oneSecret(undefined),
      signer,
      trust: memoryTrust({ self: { name, nickname: `h${index}`, identity: signer.identity }, clock: this.clock }),
      port: 6783,
      discovery: true,
      connectionLimit: 0,
      clear: () => false,
      overlay: instant,
      dial: (address) => this.dial(host, address),
      resolve: async (target) => this.names.get(target) ?? fail(`lookup ${target}: no such host`),
      ownAddresses: () => new Set([host]),
      clock: this.clock,
      random: this.random,
      log,
      events,
      ...options,
    });
    const peer = { mesh, host, name, seen };
    this.peers.set(`${host}:6783`, peer);
    return peer;
  }

  /** Ends a peer without notice, as a power cut does. */
  kill(peer: SimulatedPeer): void {
    this.peers.delete(`${peer.host}:6783`);
    const before = this.#group;
    // Its last messages do not arrive.
    this.#group = (host) => (host === peer.host ? -1 : before(host));
    peer.mesh.stop();
    this.clock.after(this.delayMs + 1, () => {
      this.#group = before;
    });
  }

  /** Hosts of different groups cannot reach one another. */
  partition(group: (index: number) => number): void {
    this.#group = (host) => group(indexOf(host));
  }

  heal(): void {
    this.#group = () => 0;
  }

  connected(a: string, b: string): boolean {
    const [ga, gb] = [this.#group(a.split(":")[0]), this.#group(b.split(":")[0])];
    return ga === gb && ga !== -1;
  }

  /** @param from `ip` or `ip:port`, as `to` */
  blocked(protocol: "tcp" | "udp", from: string, to: string): boolean {
    return this.drops(protocol, from.split(":")[0], to.split(":")[0]);
  }

  connect(from: SimulatedPeer, ...to: SimulatedPeer[]): void {
    from.mesh.connect(
      to.map(({ host }) => ({ text: host, address: `${host}:6783`, port: false })),
      false,
    );
  }

  async dial(from: string, address: string): Promise<Wire> {
    const local = `${from}:${this.#port++}`;
    await new Promise<void>((resolve) => this.clock.after(this.delayMs, resolve));
    const peer = this.peers.get(address);
    if (this.blocked("tcp", from, address) || this.blocked("tcp", address, from)) {
      await new Promise<void>((resolve) => this.clock.after(10_000, resolve));
      throw new WeaveError("WEAVE_CONNECTION", `dial tcp ${address}: timed out`);
    }
    if (peer === undefined || !this.connected(from, address))
      throw new WeaveError("WEAVE_CONNECTION", `dial tcp ${address}: no route to host`);
    const [a, b] = [new MemoryWire(this, local, address), new MemoryWire(this, address, local)];
    a.other = b;
    b.other = a;
    peer.mesh.accept(b);
    return a;
  }
}

function fail(message: string): never {
  throw new WeaveError("WEAVE_CONNECTION", message);
}

const hex = (value: number) => value.toString(16).padStart(2, "0");
export const simulatedHost = (index: number) => `10.0.${index >> 8}.${index & 255}`;

function indexOf(host: string): number {
  const [, , high, low] = host.split(".").map(Number);
  return high * 256 + low;
}

/** The identity of a simulated peer. */
export const simulatedSigner = (index: number): Signer => makeSigner(seededRandom(index + 2_000_000).bytes(32));
