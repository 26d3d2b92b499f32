import { MessageChannel } from "node:worker_threads";
import type { Command, Offloads } from "#router/datapath/protocol.js";
import { AT_LANE, MAX_CAPTURE } from "#router/datapath/record.js";
import { DatapathThread } from "#router/datapath/thread.js";
import { BROADCAST, FrameTemplate, type SyntheticFrame } from "#router/datapath/warm-up-frames.js";
import {
  BEHIND,
  FURTHER,
  NEIGHBOUR,
  Neighbour,
  OURS,
  opening,
  SEGMENT_BYTES,
  SELF,
  THEIRS,
  TO_BEHIND,
  TO_NEIGHBOUR,
  TO_SELF,
  WARM_UP_PORTS,
} from "#router/datapath/warm-up-neighbour.js";
import { threadCpuMs } from "#src/linux/native/cpu-time.js";
import { closeFd, readInto, WakeUp, writeFrom } from "#src/linux/native/files.js";
import { Memory, withTemporaryMemory } from "#src/linux/native/memory.js";
import { inPrivateNetwork, packetPair } from "#src/linux/native/private-network.js";
import { openFrameSockets } from "#src/linux/native/udp.js";
import { endpoint } from "#src/net/endpoint.js";

/** CPU time of the warm-up: after it a thread needs as little for a frame as after seconds of traffic (measured). */
export const WARM_UP_CPU_MS = 100;
/** On a busy host the same CPU time takes longer. A router should rather be ready. */
const WARM_UP_MS = 500;

const SUPER_PAYLOAD = 45 * SEGMENT_BYTES;
const USO_PAYLOAD = 40 * SEGMENT_BYTES;

export interface WarmUpOptions {
  /** CPU time in milliseconds; 0: no warm-up. */
  readonly cpuMs: number;
  /** The offloads that the thread will use. */
  readonly offloads: Offloads;
}

/** What a warm-up has moved, for tests: nothing else remains of it. */
export interface WarmUpResult {
  readonly captured: number;
  readonly delivered: number;
  readonly relayed: number;
  readonly drops: number;
}

/**
 * Has the engine compile the frame path before the first frame comes. A just started thread interprets its code, and needs twice the CPU
 * time for each byte.
 *
 * A thread of the same class as the real one, which is dropped afterwards, runs its real loop: its TAP is a pair of sockets, its
 * UDP socket is in a network namespace of its own, where a second peer sends to it. Each time when it has nothing to do it gets
 * packets of a further kind, and at the end the command to stop. Classes, descriptors and system calls are those of real traffic, so that the
 * compiled code is right for it.
 *
 * @throws WEAVE_NAMESPACE when the process may not make a network namespace, WEAVE_NATIVE; frames then pass all the same, and warm the thread
 */
export function warmUp({ cpuMs, offloads }: WarmUpOptions): WarmUpResult | undefined {
  if (cpuMs === 0) return undefined;
  let result: WarmUpResult | undefined;
  withTemporaryMemory(() => {
    const open: (() => void)[] = [];
    try {
      result = new WarmUp(offloads, open).run(cpuMs);
    } finally {
      for (const close of open.reverse()) close();
    }
  });
  return result;
}

class WarmUp {
  readonly #offloads: Offloads;
  readonly #far: number;
  readonly #commands = new MessageChannel();
  readonly #commandCount = new Int32Array(new SharedArrayBuffer(4));
  readonly #wake: WakeUp;
  readonly #thread: DatapathThread;
  readonly #neighbour: Neighbour;
  readonly #drain = new Memory(MAX_CAPTURE);
  readonly #rounds: readonly (() => void)[];
  #round = 0;
  #delivered = 0;
  #captured = 0;
  #drops = 0;
  #relayed = 0;
  #until = { cpu: 0, wall: 0 };

  /** @param open gets what closes each thing that is open, also when a later step throws */
  constructor(offloads: Offloads, open: (() => void)[]) {
    const closeLater = (...fds: readonly number[]) => open.push(...fds.map((fd) => () => closeFd(fd)));
    // The other port closes with it.
    open.push(() => this.#commands.port1.close());
    const [self, neighbour] = inPrivateNetwork(() =>
      [WARM_UP_PORTS.self, WARM_UP_PORTS.neighbour].map((port) => {
        const sockets = openFrameSockets(endpoint("127.0.0.1", port), 1, AT_LANE, offloads);
        closeLater(...sockets.fds);
        return sockets;
      }),
    );
    const [near, far] = packetPair();
    closeLater(near, far);
    this.#wake = new WakeUp();
    closeLater(this.#wake.fd);
    this.#far = far;
    this.#offloads = { ...offloads, ...self.offloads };
    this.#thread = new DatapathThread({
      self: SELF,
      lane: 0,
      lanes: 1,
      tapFd: near,
      tapName: "warm-up",
      udpFd: self.fds[0],
      // The sockets of peers would be in the host's own namespace.
      address: undefined,
      offloads: this.#offloads,
      wakeFd: this.#wake.fd,
      commands: this.#commands.port2,
      commandCount: this.#commandCount,
      emit: (event) => {
        if (event.event !== "report") return;
        const { counters, drops } = event.report;
        this.#captured = counters.framesCaptured;
        this.#relayed = counters.recordsRelayed;
        this.#delivered = counters.framesDelivered;
        this.#drops = Object.values(drops).reduce((sum, count) => sum + count, 0);
      },
      idle: () => this.#feed(),
    });
    const other = new Neighbour(neighbour.fds[0], far, this.#offloads);
    open.push(() => other.close());
    this.#neighbour = other;
    this.#rounds = this.#makeRounds();
  }

  run(cpuMs: number): WarmUpResult {
    for (const command of openingCommands()) this.#command(command);
    this.#until = { cpu: threadCpuMs() + cpuMs, wall: performance.now() + WARM_UP_MS };
    this.#thread.run();
    return { captured: this.#captured, delivered: this.#delivered, relayed: this.#relayed, drops: this.#drops };
  }

  #command(command: Command): void {
    this.#commands.port1.postMessage(command);
    Atomics.add(this.#commandCount, 0, 1);
    this.#wake.signal();
  }

  /** Gives the thread its next packets. They end the wait that follows. */
  #feed(): void {
    while (readInto(this.#far, this.#drain, 0, MAX_CAPTURE) > 0);
    if (threadCpuMs() < this.#until.cpu && performance.now() < this.#until.wall) {
      this.#rounds[this.#round++ % this.#rounds.length]();
      return;
    }
    this.#command({ do: "report", ticket: 0 });
    this.#command({ do: "stop" });
  }

  #makeRounds(): (() => void)[] {
    const frame = (frame: Partial<SyntheticFrame>, ours = true) =>
      new FrameTemplate({
        protocol: "tcp",
        from: ours ? OURS : THEIRS,
        to: ours ? THEIRS : OURS,
        payload: 0,
        segment: 0,
        ...frame,
      });
    const kinds: Partial<SyntheticFrame>[] = [
      { protocol: "icmp", payload: 56 },
      { payload: SUPER_PAYLOAD, segment: SEGMENT_BYTES },
      { payload: 0 },
      { payload: SEGMENT_BYTES },
      { protocol: "udp", payload: SEGMENT_BYTES },
      { protocol: "udp", payload: 64 },
      { to: BROADCAST, protocol: "udp", payload: 64 },
    ];
    if (this.#offloads.uso) kinds.push({ protocol: "udp", payload: USO_PAYLOAD, segment: SEGMENT_BYTES });
    const counts = [1, 3, 2, 8, 8, 8, 1, 1];
    const rounds = kinds.flatMap((kind, i) => {
      const [outward, inward] = [frame(kind), frame(kind, false)];
      const times = counts[i];
      return [
        () => this.#capture(outward, times),
        () => this.#receive(inward, times),
        () => {
          this.#capture(outward, times);
          this.#receive(inward, times);
        },
        () => this.#capture(single, 1),
        () => this.#receive(reply, 1),
      ];
    });
    const [single, reply] = [frame(kinds[0]), frame(kinds[0], false)];
    const relayed = frame({ to: FURTHER, payload: SUPER_PAYLOAD, segment: SEGMENT_BYTES }, false);
    rounds.push(() => this.#receive(relayed, 1));
    return rounds;
  }

  #capture({ memory, length }: FrameTemplate, times: number): void {
    for (let i = 0; i < times; i++) writeFrom(this.#far, memory, 0, length);
  }

  #receive(frame: FrameTemplate, times: number): void {
    // Also if nothing arrives: the thread must not wait.
    if (!this.#neighbour.send(frame, times)) this.#wake.signal();
  }
}

/** The commands of the thread: both peers are at the neighbour's address. */
function* openingCommands(): Iterable<Command> {
  yield* opening(TO_NEIGHBOUR, NEIGHBOUR, TO_SELF, WARM_UP_PORTS.neighbour);
  yield* opening(TO_BEHIND, BEHIND, TO_SELF, WARM_UP_PORTS.neighbour);
  const unicast = new Map([
    [NEIGHBOUR, TO_NEIGHBOUR],
    [BEHIND, TO_BEHIND],
  ]);
  const flood = new Map([
    [SELF, [TO_NEIGHBOUR]],
    [NEIGHBOUR, [TO_BEHIND]],
  ]);
  yield { do: "routes", routes: { unicast, flood, relays: new Map() } };
  yield { do: "learn", mac: THEIRS, peer: NEIGHBOUR };
  yield { do: "learn", mac: FURTHER, peer: BEHIND };
}
