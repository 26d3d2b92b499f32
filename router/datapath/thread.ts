import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { FramePort, isTransient } from "#router/datapath/frame-port.js";
import { NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import { type Command, type DatapathEvent, type Offloads, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receive.js";
import { MAX_CAPTURE } from "#router/datapath/record.js";
import { Session } from "#router/datapath/session.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmit.js";
import { errorText, WeaveError } from "#src/errors.js";
import { PollSet, WakeUp } from "#src/linux/native/files.js";
import { errnoName } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { openPeerSocket } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import type { Endpoint } from "#src/net/endpoint.js";

/**
 * Receives before the TAP has its turn, and super-frames before the network has: enough to batch, few enough for a small
 * packet that waits on the other side (64 KB take some 50 µs).
 */
const TURN = 4;
/** Frames captured before what waits is sent, however many more there are: bounds the delay of the first. */
const FRAMES_PER_FLUSH = 256;
/** A frame of this size fills a send by itself. */
const LARGE_FRAME = 32_768;
const AGE_EVERY_MS = 60_000;
/** An event of one kind is told at most this often: the network must not be able to flood the event loop. */
const TELL_EVERY_MS = 1_000;
/** Except for MACs, which the other threads must know: so many a second. */
const MACS_PER_TELL = 256;
/** What arrived is told this often where something did. */
const ARRIVALS_EVERY_MS = 500;
const TELLING_RECORDS = 50;

export interface ThreadOptions {
  readonly self: number;
  /** Of this thread, and how many there are. */
  readonly lane: number;
  readonly lanes: number;
  readonly tapFd: number;
  readonly tapName: string;
  readonly udpFd: number;
  /** Where each peer can have a socket of its own to send by. */
  readonly address: Endpoint | undefined;
  readonly offloads: Offloads;
  readonly wakeFd: number;
  readonly commands: MessagePort;
  /** One shared integer: raised with each command, so that a busy loop sees them without a system call. */
  readonly raised: Int32Array;
  readonly tell: (event: DatapathEvent) => void;
}

/**
 * The frame path: a loop that blocks in poll(2) and works both directions until there is nothing left. It shares no
 * objects with the event loop or other threads, and allocates nothing for a frame.
 */
export class DatapathThread {
  readonly #options: ThreadOptions;
  readonly #tally = new Tally();
  readonly #udp: UdpReceiver;
  /** For peers that cannot have one of their own. */
  readonly #shared: UdpSender;
  readonly #switch: Switch;
  readonly #port: FramePort;
  readonly #transmitter: Transmitter;
  readonly #receiver: Receiver;
  readonly #frame = new Memory(MAX_CAPTURE);
  readonly #told = new Map<string, number>();
  #macsTold = 0;
  #arrivalsAt = 0;
  /** Something arrived lately: the last of it is to be told as well. */
  #arriving = false;
  /** By our own queue, as of the last look. */
  #dropped = 0;
  #stopped = false;
  /** errno of a read that cannot succeed again; 0: none. */
  #tapError = 0;

  constructor(options: ThreadOptions) {
    this.#options = options;
    const udp = new UdpReceiver(options.udpFd);
    this.#udp = udp;
    this.#shared = new UdpSender(options.udpFd, options.offloads.segment);
    const tell = (event: DatapathEvent) => this.#tell(event);
    this.#transmitter = new Transmitter(this.#tally, {
      tooBig: (session) => this.#tell({ event: "too-big", session: session.local }),
      record: (session, record) => this.#tell({ event: "record", session: session.local, record }),
      frames: (session, large) => this.#tell({ event: "frames", session: session.local, large }),
    });
    this.#port = new FramePort(options.tapFd, options.offloads);
    this.#switch = new Switch(options.self, this.#port, this.#transmitter, this.#tally, tell);
    this.#receiver = new Receiver(udp, options.offloads.gro, this.#switch, this.#tally, tell);
  }

  /** Runs until told to stop. @throws WEAVE_NATIVE when the TAP device is gone */
  run(): void {
    const { tapFd, tapName, udpFd, wakeFd, raised } = this.#options;
    const wake = new WakeUp(wakeFd);
    const poll = new PollSet([udpFd, tapFd, wakeFd]);
    let seen = 0;
    let agedAt = performance.now();
    let now = agedAt;
    let [datagrams, frames] = [true, true];
    /** Woken after a wait: whatever it was goes on its way before there is a look for more. */
    let woken = false;
    while (!this.#stopped) {
      this.#switch.tick(now);
      this.#transmitter.tick(now);
      this.#receiver.tick(now);
      try {
        const delivered = this.#tally.counters.framesDelivered;
        if (datagrams) datagrams = this.#receive(woken ? 1 : TURN);
        // The answer to what was just delivered is often there already.
        if (frames || this.#tally.counters.framesDelivered !== delivered) frames = this.#capture(woken);
      } catch (error) {
        this.#fault(error);
      }
      if (this.#tapError !== 0) {
        // Somebody deleted it. A new process makes a new one.
        throw new WeaveError("WEAVE_NATIVE", `the TAP device ${tapName} is gone: ${errnoName(this.#tapError)}`);
      }
      // One that was left with work to do looks again, without waiting; the other only when there is something.
      const waiting = !datagrams && !frames && Atomics.load(raised, 0) === seen;
      woken = waiting;
      poll.wait(waiting ? (this.#arriving ? ARRIVALS_EVERY_MS : AGE_EVERY_MS) : 0);
      now = performance.now();
      // As far as was looked, and until a wait ended.
      if (!datagrams) this.#switch.inbound.empty(now);
      if (!frames) this.#switch.outbound.empty(now);
      datagrams ||= poll.ready(0);
      frames ||= poll.ready(1);
      if (poll.ready(2)) wake.lower();
      const count = Atomics.load(raised, 0);
      if (count !== seen) {
        seen = count;
        this.#obey(now);
      }
      if (now >= this.#arrivalsAt) this.#tellArrivals(now);
      if (now - agedAt >= AGE_EVERY_MS) {
        this.#switch.macs.age(now);
        agedAt = now;
      }
    }
    for (const session of this.#switch.sessions.values()) this.#close(session);
  }

  /** Takes datagrams until there are none, or it is the other side's turn. True: there may be more. */
  #receive(turns: number): boolean {
    let more = true;
    for (let i = 0; i < turns && more; i++) more = this.#receiver.pump();
    if (!more) this.#switch.settle();
    // What was relayed goes out before frames of our own are read.
    this.#transmitter.flush();
    return more;
  }

  /** Reads frames until there are none, or many. True: there may be more. */
  #capture(firstAtOnce: boolean): boolean {
    let large = 0;
    for (let i = 0; i < FRAMES_PER_FLUSH && large < TURN; i++) {
      const length = this.#port.read(this.#frame, 0, MAX_CAPTURE);
      if (length < 0) {
        if (!isTransient(length)) this.#tapError = -length;
        this.#transmitter.flush();
        return false;
      }
      this.#switch.captured(this.#frame, 0, length);
      if (length > LARGE_FRAME) large++;
      if (length > LARGE_FRAME || (firstAtOnce && i === 0)) this.#transmitter.flush();
    }
    this.#transmitter.flush();
    return true;
  }

  /**
   * What each peer lost on the way to us. A time in which our own queue overflowed says nothing of the way: the kernel does
   * not tell whose datagrams it threw away, nor how many were in one.
   */
  #tellArrivals(now: number): void {
    const dropped = this.#udp.dropped();
    const own = (dropped - this.#dropped) >>> 0;
    this.#dropped = dropped;
    if (own > 0) this.#tally.drop("receive-queue-full", own);
    let any = false;
    for (const { local, arrivals } of this.#switch.sessions.values()) {
      // A few tell nothing, and heartbeats alone are few.
      if (arrivals.accepted < TELLING_RECORDS) continue;
      any = true;
      if (own === 0) this.#tell({ event: "arrivals", session: local, ...arrivals });
      arrivals.expected = arrivals.accepted = arrivals.datagrams = 0;
    }
    this.#arrivalsAt = now + ARRIVALS_EVERY_MS;
    this.#arriving = any;
    this.#macsTold = 0;
  }

  /** A fault in one packet must not end the thread; it is counted by being told. */
  #fault(error: unknown): void {
    this.#tell({ event: "fault", message: errorText(error) });
  }

  #obey(now: number): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#options.commands);
      if (received === undefined) return;
      try {
        this.#execute(received.message as Command, now);
      } catch (error) {
        this.#fault(error);
      }
    }
  }

  #execute(command: Command, now: number): void {
    const { sessions } = this.#switch;
    switch (command.do) {
      case "open":
        sessions.set(
          command.session,
          new Session({
            local: command.session,
            peer: command.peer,
            encrypted: command.encrypted,
            lane: this.#options.lane,
            openssl: this.#options.offloads.openssl,
            sender: this.#openSender(),
          }),
        );
        return;
      case "key":
        sessions.get(command.session)?.setKey(command.direction, command.epoch, command.key, command.salt, now);
        return;
      case "remote": {
        const session = sessions.get(command.session);
        if (session !== undefined) session.remote = command.remoteSession;
        return;
      }
      case "next-hop": {
        const session = sessions.get(command.session);
        if (session === undefined) return;
        session.nextHop = command.nextHop.kind;
        if (command.nextHop.kind === NEXT_HOP_EVENT_LOOP) session.handOverBytes = command.nextHop.recordBytes;
        return;
      }
      case "datagrams": {
        const session = sessions.get(command.session);
        if (session === undefined) return;
        if (command.address !== undefined) session.address = command.address;
        session.source = command.source;
        session.datagramBytes = command.datagramBytes;
        session.datagramsPerRecord = command.datagramsPerRecord;
        session.batches = command.batches;
        return;
      }
      case "address": {
        const session = sessions.get(command.session);
        if (session !== undefined) session.address = command.address;
        return;
      }
      case "record": {
        const session = sessions.get(command.session);
        if (session !== undefined) this.#receiver.record(session, command.record);
        return;
      }
      case "record-sent": {
        const session = sessions.get(command.session);
        if (session !== undefined) session.handedOver = Math.max(0, session.handedOver - command.bytes);
        return;
      }
      case "control": {
        const session = sessions.get(command.session);
        if (session !== undefined)
          this.#transmitter.control(session, this.#options.self, command.message, command.datagramBytes);
        return;
      }
      case "batch": {
        const session = sessions.get(command.session);
        if (session !== undefined)
          this.#transmitter.batch(session, this.#options.self, command.messages, command.datagramBytes);
        return;
      }
      case "close": {
        // Frames that wait for this session must not outlive its key.
        this.#transmitter.flush();
        const session = sessions.get(command.session);
        if (session !== undefined) this.#close(session);
        sessions.delete(command.session);
        return;
      }
      case "routes":
        this.#switch.routes = command.routes;
        return;
      case "learn":
        this.#switch.macs.learn(command.mac, command.peer, now);
        return;
      case "forget":
        this.#switch.macs.forget(command.peer);
        return;
      case "release":
        this.#switch.macs.release(command.mac);
        return;
      case "report": {
        const macs = [...this.#switch.macs.entries()].map(([mac, { peer, seen }]) => ({
          mac,
          peer,
          idleMs: now - seen,
        }));
        this.#tell({
          event: "report",
          ticket: command.ticket,
          report: { macs, counters: this.#tally.counters, drops: this.#tally.drops },
        });
        return;
      }
      case "stop":
        this.#stopped = true;
    }
  }

  #openSender(): UdpSender {
    const { address, offloads } = this.#options;
    if (address === undefined) return this.#shared;
    try {
      return new UdpSender(openPeerSocket(address, offloads.gro), offloads.segment);
    } catch (error) {
      // Too many open files, perhaps: this peer shares what all have.
      this.#fault(error);
      return this.#shared;
    }
  }

  #close(session: Session): void {
    session.close();
    if (session.sender !== this.#shared) session.sender.close();
  }

  #tell(event: DatapathEvent): void {
    switch (event.event) {
      case "mac-learnt":
        if (this.#options.lanes === 1 || ++this.#macsTold > MACS_PER_TELL) return;
        break;
      case "too-big":
      case "mac-moved":
      case "mac-refused":
      case "fault": {
        const now = performance.now();
        if (now - (this.#told.get(event.event) ?? Number.NEGATIVE_INFINITY) < TELL_EVERY_MS) return;
        this.#told.set(event.event, now);
      }
    }
    this.#options.tell(event);
  }
}
