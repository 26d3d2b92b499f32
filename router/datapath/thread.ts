import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { BufferRing } from "#router/datapath/buffer-ring.js";
import { CommandExecutor } from "#router/datapath/command-executor.js";
import type { DatagramReceiver, DatagramSender } from "#router/datapath/datagram-socket.js";
import { EventLimiter } from "#router/datapath/event-limiter.js";
import type { FrameDevice } from "#router/datapath/frame-device.js";
import { FramePort, isTransient } from "#router/datapath/frame-port.js";
import { type Command, type DatapathEvent, type Offloads, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receiver.js";
import { MAX_CAPTURE } from "#router/datapath/record.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmitter.js";
import { errorText, WeaveError } from "#src/errors.js";
import { PollSet, WakeUp } from "#src/linux/native/files.js";
import { errnoName } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { openPeerSocket } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import type { Endpoint } from "#src/net/endpoint.js";

/**
 * Number of receive calls before the TAP is polled, and of large frames read from the TAP before the socket is polled. Enough
 * to batch; few, because a small packet of the other direction waits meanwhile (64 KB take some 50 µs).
 */
const TURN_LIMIT = 4;
/** Number of frames read from the TAP before the open batch is sent: bounds the delay of the first frame. */
const FRAMES_PER_FLUSH = 256;
/** A frame of more bytes is sent immediately: two of them do not fit one send call (64 KB). */
const LARGE_FRAME_BYTES = 32_768;
/** Further reads that must fail, too, before the TAP device counts as gone. */
const CONFIRMATIONS = 2;
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
  readonly #device: FrameDevice;
  readonly #switch: Switch;
  readonly #transmitter: Transmitter;
  readonly #receiver: Receiver;
  readonly #executor: CommandExecutor;
  readonly #frame = new Memory(MAX_CAPTURE);
  #arrivalsAt = 0;
  /** The last report had arrivals: the thread wakes up for the next report, even if no more records arrive. */
  #arriving = false;
  /** Datagrams that our own receive queue had dropped at the last report. */
  #dropped = 0;
  /** errno of a permanent read error of the TAP; 0: none. */
  #tapError = 0;

  constructor(options: ThreadOptions) {
    this.#options = options;
    const { self, lane, lanes, offloads } = options;
    const [ring, tally] = [this.#ring, this.#tally];
    const events = new EventLimiter(options.emit, lanes > 1);
    const emit = (event: DatapathEvent) => events.emit(event);
    this.#events = events;
    this.#socket = new UdpReceiver(options.udpFd);
    this.#shared = new UdpSender(options.udpFd, offloads.segment);
    this.#device = new FramePort(options.tapFd, offloads);
    const transmitter = new Transmitter(self, tally, {
      tooBig: (session) => emit({ event: "too-big", session: session.local }),
      record: (session, record) => emit({ event: "record", session: session.local, record }),
      frames: (session, large) => emit({ event: "frames", session: session.local, large }),
    });
    this.#transmitter = transmitter;
    const forwarding = new Switch(self, { device: this.#device, transmitter, ring, tally, emit });
    this.#switch = forwarding;
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
    const { tapFd, tapName, udpFd, wakeFd, commandCount, idle } = this.#options;
    const wake = new WakeUp(wakeFd);
    const poll = new PollSet([udpFd, tapFd, wakeFd]);
    let executed = 0;
    let agedAt = performance.now();
    let expiredAt = agedAt;
    let now = agedAt;
    let [datagrams, frames] = [true, true];
    // True after a blocking wait: the packet that ended the wait is sent before more are read.
    let woken = false;
    while (!this.#executor.stopped) {
      this.#switch.tick(now);
      this.#transmitter.tick(now);
      this.#receiver.tick(now);
      try {
        const delivered = this.#tally.counters.framesDelivered;
        if (datagrams) datagrams = this.#receive(woken ? 1 : TURN_LIMIT);
        // The TAP often has the reply to a frame that was just delivered.
        if (frames || this.#tally.counters.framesDelivered !== delivered) frames = this.#capture(woken);
      } catch (error) {
        this.#fault(error);
      }
      // Only a new process can create another device.
      if (this.#tapError !== 0)
        throw new WeaveError("WEAVE_NATIVE", `the TAP device ${tapName} is gone: ${errnoName(this.#tapError)}`);
      // Do not block while one direction has work left. The other direction is served when poll reports it.
      const waiting = !datagrams && !frames && Atomics.load(commandCount, 0) === executed;
      woken = waiting;
      if (waiting) idle?.();
      poll.wait(waiting ? (this.#arriving ? ARRIVALS_EVERY_MS : AGE_EVERY_MS) : 0);
      now = performance.now();
      // A drained queue counts as empty until the end of this wait.
      if (!datagrams) this.#switch.inbound.empty(now);
      if (!frames) this.#switch.outbound.empty(now);
      datagrams ||= poll.ready(0);
      frames ||= poll.ready(1);
      if (poll.ready(2)) wake.acknowledge();
      const count = Atomics.load(commandCount, 0);
      if (count !== executed) {
        executed = count;
        this.#drainCommands(now);
      }
      if (now >= this.#arrivalsAt) this.#reportArrivals(now);
      if (now - expiredAt >= EXPIRE_EVERY_MS) {
        this.#switch.expire(now);
        expiredAt = now;
      }
      if (now - agedAt >= AGE_EVERY_MS) {
        this.#switch.macs.age(now);
        agedAt = now;
      }
    }
    this.#executor.close();
  }

  /** Receives until the socket is empty, at most `calls` times. True: there may be more. */
  #receive(calls: number): boolean {
    let more = true;
    for (let i = 0; i < calls && more; i++) more = this.#receiver.pump();
    if (!more) this.#ring.settle();
    // Relayed records leave before frames of this host are read.
    this.#transmitter.flush();
    return more;
  }

  /** Reads frames until the TAP is empty or a limit is reached. True: there may be more. */
  #capture(firstImmediately: boolean): boolean {
    let large = 0;
    for (let i = 0; i < FRAMES_PER_FLUSH && large < TURN_LIMIT; i++) {
      let length = this.#device.read(this.#frame, 0, MAX_CAPTURE);
      // errno is read by a second call, and the collector of the JavaScript heap may call the kernel between: one error is none.
      for (let again = 0; again < CONFIRMATIONS && length < 0 && !isTransient(length); again++)
        length = this.#device.read(this.#frame, 0, MAX_CAPTURE);
      if (length < 0) {
        if (!isTransient(length)) this.#tapError = -length;
        this.#transmitter.flush();
        return false;
      }
      this.#switch.captured(this.#frame, 0, length);
      if (length > LARGE_FRAME_BYTES) large++;
      if (length > LARGE_FRAME_BYTES || (firstImmediately && i === 0)) this.#transmitter.flush();
    }
    this.#transmitter.flush();
    return true;
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
    for (;;) {
      const received = receiveMessageOnPort(this.#options.commands);
      if (received === undefined) return;
      try {
        this.#executor.execute(received.message as Command, now);
      } catch (error) {
        this.#fault(error);
      }
    }
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
