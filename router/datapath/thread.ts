import { availableParallelism } from "node:os";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { BufferRing } from "#router/datapath/buffer-ring.js";
import { Capture, TURN_LIMIT } from "#router/datapath/capture.js";
import { CommandExecutor } from "#router/datapath/command-executor.js";
import type { DatagramReceiver, DatagramSender } from "#router/datapath/datagram-socket.js";
import { EventLimiter } from "#router/datapath/event-limiter.js";
import { FramePort } from "#router/datapath/frame-port.js";
import { type Command, type DatapathEvent, type Offloads, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receiver.js";
import { Spin } from "#router/datapath/spin.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmitter.js";
import { nextTurn, type Turn } from "#router/datapath/turn.js";
import { errorText, WeaveError } from "#src/errors.js";
import { PollSet, WakeUp } from "#src/linux/native/files.js";
import { errnoName } from "#src/linux/native/libc.js";
import { openPeerSocket } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import type { Endpoint } from "#src/net/endpoint.js";

/**
 * After a wait of at least this time one packet is handled in the shortest way: without a call that shows that there is no second one. A wait
 * that ends earlier may have found a queue that was not empty.
 */
const LONE_AFTER_MS = 0.2;
/** Bytes received and sent in one turn, at most, after which a reply may come soon. */
const LIGHT_BYTES = 4_096;
/** Time after a turn with more bytes until a thread polls again before it sleeps: in bulk traffic the programs need the cores, and batches grow. */
const AFTER_BULK_MS = 10;
/** Interval at which old MACs are dropped. */
const AGE_EVERY_MS = 60_000;
/** Interval at which keys and permissions end that have a time; after a wait of the thread they end before any record is opened. */
const EXPIRE_EVERY_MS = 1_000;
/** Interval of the reports of received records, while records arrive. */
const ARRIVALS_EVERY_MS = 500;
/** Minimum records in a report: a loss rate of fewer records is noise. Heartbeats alone never reach it. */
const MIN_ARRIVALS = 50;

export interface ThreadOptions {
  /** Our own peer name. */
  readonly self: number;
  /** The lane of this thread, from 0. */
  readonly lane: number;
  /** Number of threads. */
  readonly lanes: number;
  readonly tapFd: number;
  readonly tapName: string;
  readonly udpFd: number;
  /** Local address of a send socket for each peer; undefined: all peers share one socket. */
  readonly address: Endpoint | undefined;
  readonly offloads: Offloads;
  readonly wakeFd: number;
  readonly commands: MessagePort;
  /** One shared integer, incremented with each command: a busy loop notices commands without a system call. */
  readonly commandCount: Int32Array;
  readonly emit: (event: DatapathEvent) => void;
  /** Called before each wait with nothing left to do: the warm-up then makes more (warm-up.ts). */
  readonly idle?: () => void;
}

/**
 * One thread of the frame path: a loop that blocks in poll(2), and serves both directions until neither has a packet. It
 * shares no objects with the event loop or other threads, and allocates nothing for a frame.
 */
export class DatapathThread {
  readonly #options: ThreadOptions;
  readonly #tally = new Tally();
  readonly #ring = new BufferRing();
  readonly #socket: DatagramReceiver;
  /** The sender for peers without a socket of their own. */
  readonly #shared: DatagramSender;
  readonly #events: EventLimiter;
  readonly #capture: Capture;
  readonly #switch: Switch;
  readonly #transmitter: Transmitter;
  readonly #receiver: Receiver;
  readonly #executor: CommandExecutor;
  /** After a packet to the network, and to this host: they wait for replies of other programs. */
  readonly #afterSend: Spin | undefined;
  readonly #afterDelivery: Spin | undefined;
  /** Number of commands that were announced when they were last read. */
  #executed = 0;
  #arrivalsAt = 0;
  #expiredAt = 0;
  #agedAt = 0;
  /** The last report had arrivals: the thread wakes up for the next report, even if no more records arrive. */
  #arriving = false;
  /** Datagrams that our own receive queue had dropped at the last report. */
  #dropped = 0;

  constructor(options: ThreadOptions) {
    this.#options = options;
    const { self, lane, lanes, offloads } = options;
    const [ring, tally] = [this.#ring, this.#tally];
    const events = new EventLimiter(options.emit, lanes > 1);
    // On one core nothing can come while this thread has it.
    if (availableParallelism() > 1) [this.#afterSend, this.#afterDelivery] = [new Spin(), new Spin()];
    const emit = (event: DatapathEvent) => events.emit(event);
    this.#events = events;
    this.#socket = new UdpReceiver(options.udpFd);
    this.#shared = new UdpSender(options.udpFd, offloads.segment);
    const device = new FramePort(options.tapFd, offloads);
    const transmitter = new Transmitter(self, tally, {
      tooBig: (session) => emit({ event: "too-big", session: session.local }),
      record: (session, record) => emit({ event: "record", session: session.local, record }),
      frames: (session, large) => emit({ event: "frames", session: session.local, large }),
    });
    this.#transmitter = transmitter;
    const forwarding = new Switch(self, { device, transmitter, ring, tally, emit });
    this.#switch = forwarding;
    this.#capture = new Capture(device, transmitter, forwarding);
    const receiver = new Receiver({ socket: this.#socket, switch: forwarding, ring, tally, emit }, offloads.gro);
    this.#receiver = receiver;
    this.#executor = new CommandExecutor(
      {
        switch: forwarding,
        transmitter,
        receiver,
        tally,
        openSender: () => this.#openSender(),
        closeSender: (sender) => sender !== this.#shared && sender.close(),
        emit,
      },
      { lane, lanes, openssl: offloads.openssl },
    );
  }

  /** Runs until the command "stop". @throws WEAVE_NATIVE when the TAP device is gone */
  run(): void {
    try {
      this.#serve();
    } finally {
      this.#executor.close();
    }
  }

  #serve(): void {
    const { tapFd, udpFd, wakeFd, commandCount, idle } = this.#options;
    const wake = new WakeUp(wakeFd);
    const poll = new PollSet([udpFd, tapFd, wakeFd]);
    let now = performance.now();
    this.#agedAt = this.#expiredAt = now;
    let [datagrams, frames] = [true, true];
    // True: all packets were read in the last turn.
    let drained = false;
    let turn: Turn = "many";
    // The last turn delivered frames. The TAP often has replies to them at once, those of the containers' kernels: then it is read at once.
    let [delivered, replies] = [false, false];
    // The spin before the next wait, when the last turn handled a packet or two, such as those of programs that wait for replies.
    let spinning: Spin | undefined;
    // Time of the last turn that handled more.
    let bulkAt = Number.NEGATIVE_INFINITY;
    const { counters } = this.#tally;
    while (!this.#executor.stopped) {
      this.#switch.tick(now);
      this.#transmitter.tick(now);
      this.#receiver.tick(now);
      try {
        const { framesDelivered, framesCaptured, bytesReceived, bytesSent } = counters;
        // One packet is handled, and sent before more are read.
        const lone = turn !== "many";
        drained = !lone;
        if (datagrams) datagrams = lone ? this.#receiveOne() : this.#receive();
        delivered = counters.framesDelivered !== framesDelivered;
        const forReply = !frames && delivered && (!lone || replies);
        if (frames || forReply) frames = lone ? this.#capture.one() : this.#capture.many();
        if (forReply) replies = counters.framesCaptured !== framesCaptured;
        const moved = counters.bytesReceived - bytesReceived + counters.bytesSent - bytesSent;
        if (moved > LIGHT_BYTES) bulkAt = now;
        const spin = counters.bytesSent !== bytesSent ? this.#afterSend : this.#afterDelivery;
        spinning = moved > 0 && now - bulkAt >= AFTER_BULK_MS ? spin : undefined;
      } catch (error) {
        // What the last turn has left does not count for this one.
        [drained, delivered, spinning] = [false, false, undefined];
        this.#fault(error);
      }
      this.#requireTap();
      // Do not block while one direction has work left. The other direction is served when poll reports it.
      const waiting: boolean = !datagrams && !frames && Atomics.load(commandCount, 0) === this.#executed;
      if (waiting) idle?.();
      const before = now;
      const worked = waiting ? performance.now() : now;
      const polled: boolean = waiting && (spinning?.wait(poll, worked) ?? false);
      if (!polled || !poll.any) poll.wait(waiting ? (this.#arriving ? ARRIVALS_EVERY_MS : AGE_EVERY_MS) : 0);
      now = performance.now();
      this.#tally.workedMs += (waiting ? worked : now) - before;
      if (polled) this.#tally.polledMs += spinning!.lastMs;
      const slept: boolean = now - before >= LONE_AFTER_MS || (polled && spinning!.foundNone);
      const fresh: boolean = waiting && (drained || slept);
      turn = nextTurn(turn, waiting, fresh);
      replies ||= turn === "unsure" && delivered && poll.ready(1);
      // A queue that was seen empty counts as empty until the end of this wait.
      if (fresh || (drained && !datagrams) || !poll.ready(0)) this.#switch.inbound.empty(now);
      if (fresh || (drained && !frames) || !poll.ready(1)) this.#switch.outbound.empty(now);
      datagrams ||= poll.ready(0);
      frames ||= poll.ready(1);
      if (poll.ready(2)) wake.acknowledge();
      this.#drainCommands(now);
      this.#upkeep(now);
    }
  }

  /** Only a new process can create another device. @throws WEAVE_NATIVE when the TAP device is gone */
  #requireTap(): void {
    const { error } = this.#capture;
    if (error === 0) return;
    throw new WeaveError("WEAVE_NATIVE", `the TAP device ${this.#options.tapName} is gone: ${errnoName(error)}`);
  }

  /** Work done at intervals. */
  #upkeep(now: number): void {
    if (now >= this.#arrivalsAt) this.#reportArrivals(now);
    if (now - this.#expiredAt >= EXPIRE_EVERY_MS) {
      this.#switch.expire(now);
      this.#expiredAt = now;
    }
    if (now - this.#agedAt >= AGE_EVERY_MS) {
      this.#switch.macs.age(now);
      this.#agedAt = now;
    }
  }

  /** Receives until the socket is empty, at most {@link TURN_LIMIT} times. True: there may be more. */
  #receive(): boolean {
    let more = true;
    for (let i = 0; i < TURN_LIMIT && more; i++) more = this.#receiver.pump() > 0;
    if (!more) this.#ring.settle();
    // Relayed records leave before frames of this host are read.
    this.#transmitter.flush();
    return more;
  }

  /** Receives once. True: several datagrams came at once, and there may be more. */
  #receiveOne(): boolean {
    const more = this.#receiver.pump() > 1;
    if (!more) this.#ring.settle();
    this.#transmitter.flush();
    return more;
  }

  /**
   * Reports the records received and expected from each peer. If our own receive queue has overflowed since the last report,
   * the counts are discarded: the kernel does not report which peer's datagrams it dropped, nor how many a drop joined.
   */
  #reportArrivals(now: number): void {
    const dropped = this.#socket.dropped();
    const own = (dropped - this.#dropped) >>> 0;
    this.#dropped = dropped;
    if (own > 0) this.#tally.drop("receive-queue-full", own);
    let any = false;
    for (const {
      local,
      keys: { arrivals },
    } of this.#switch.sessions.values()) {
      if (arrivals.accepted < MIN_ARRIVALS) continue;
      any = true;
      if (own === 0) this.#events.emit({ event: "arrivals", session: local, ...arrivals });
      arrivals.expected = arrivals.accepted = arrivals.datagrams = 0;
    }
    this.#arrivalsAt = now + ARRIVALS_EVERY_MS;
    this.#arriving = any;
  }

  /** Reports a fault. A fault in one packet must not end the thread. */
  #fault(error: unknown): void {
    this.#events.emit({ event: "fault", message: errorText(error) });
  }

  #drainCommands(now: number): void {
    const count = Atomics.load(this.#options.commandCount, 0);
    if (count === this.#executed) return;
    this.#executed = count;
    for (;;) {
      const received = receiveMessageOnPort(this.#options.commands);
      if (received === undefined) break;
      try {
        this.#executor.execute(received.message as Command, now);
      } catch (error) {
        this.#fault(error);
      }
    }
    // A record of the event loop may be relayed by datagrams: they must not wait until something else is to be sent.
    this.#transmitter.flush();
  }

  #openSender(): DatagramSender {
    const { address, offloads } = this.#options;
    if (address === undefined) return this.#shared;
    try {
      return new UdpSender(openPeerSocket(address, offloads.gro), offloads.segment);
    } catch (error) {
      // For example too many open files: this peer uses the shared socket.
      this.#fault(error);
      return this.#shared;
    }
  }
}
