import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { type Command, type DatapathEvent, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receive.js";
import { MAX_FRAME } from "#router/datapath/record.js";
import { Session } from "#router/datapath/session.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmit.js";
import { textOf, WeaveError } from "#src/errors.js";
import { AGAIN, PollSet, readInto, WakeUp } from "#src/host/native/files.js";
import { Errno, errnoName } from "#src/host/native/libc.js";
import { Memory } from "#src/host/native/memory.js";
import type { TapDevice } from "#src/host/native/tap.js";
import { UdpSocket } from "#src/host/native/udp.js";

/** Receives and reads before the other side has its turn: long enough to batch, short enough for both to flow. */
const TURN = 16;
/** Frames captured before what waits is sent, however many more there are: bounds the delay of the first. */
const FRAMES_PER_FLUSH = 256;
const AGE_EVERY_MS = 60_000;
/** An event of one kind is told at most this often: the network must not be able to flood the event loop. */
const TELL_EVERY_MS = 1_000;

export interface ThreadOptions {
  readonly self: number;
  readonly tap: TapDevice;
  readonly udpFd: number;
  readonly wakeFd: number;
  readonly commands: MessagePort;
  /** One shared integer: raised with each command, so that a busy loop sees them without a system call. */
  readonly raised: Int32Array;
  readonly tell: (event: DatapathEvent) => void;
}

/**
 * The frame path: a loop that blocks in poll(2) and works both directions until there is nothing left. It shares no
 * objects with the event loop, and allocates nothing for a frame.
 */
export class DatapathThread {
  readonly #options: ThreadOptions;
  readonly #tally = new Tally();
  readonly #switch: Switch;
  readonly #transmitter: Transmitter;
  readonly #receiver: Receiver;
  readonly #frame = new Memory(MAX_FRAME);
  readonly #told = new Map<string, number>();
  #stopped = false;
  /** errno of a read that cannot succeed again; 0: none. */
  #tapError = 0;

  constructor(options: ThreadOptions) {
    this.#options = options;
    const udp = new UdpSocket(options.udpFd);
    const tell = (event: DatapathEvent) => this.#tell(event);
    this.#transmitter = new Transmitter(udp, this.#tally, (session) =>
      this.#tell({ event: "too-big", session: session.local }),
    );
    this.#switch = new Switch(options.self, options.tap, this.#transmitter, this.#tally, tell);
    this.#receiver = new Receiver(udp, this.#switch, this.#tally, tell);
  }

  /** Runs until told to stop. @throws WEAVE_NATIVE when the TAP device is gone */
  run(): void {
    const { tap, udpFd, wakeFd, raised } = this.#options;
    const wake = new WakeUp(wakeFd);
    const poll = new PollSet([udpFd, tap.fd, wakeFd]);
    let seen = 0;
    let agedAt = performance.now();
    while (!this.#stopped) {
      const now = performance.now();
      this.#switch.tick(now);
      this.#transmitter.tick(now);
      const busy = this.#guard(() => this.#turn());
      if (this.#tapError !== 0) {
        // Somebody deleted it. A new process makes a new one.
        throw new WeaveError("WEAVE_NATIVE", `the TAP device ${tap.name} is gone: ${errnoName(this.#tapError)}`);
      }
      const count = Atomics.load(raised, 0);
      if (count !== seen) {
        seen = count;
        this.#obey(now);
      } else if (!busy) {
        if (now - agedAt >= AGE_EVERY_MS) {
          this.#switch.macs.age(now);
          agedAt = now;
        }
        poll.wait(AGE_EVERY_MS);
        if (poll.ready(2)) wake.lower();
      }
    }
    for (const session of this.#switch.sessions.values()) session.close();
  }

  #turn(): boolean {
    let busy = false;
    for (let i = 0; i < TURN && this.#receiver.pump(); i++) busy = true;
    this.#switch.settle();
    // What was relayed goes out before frames of our own are read.
    this.#transmitter.flush();
    for (let i = 0; i < TURN && this.#capture(); i++) busy = true;
    return busy;
  }

  /** Reads frames until there are none, or many. False: there were none. */
  #capture(): boolean {
    const { tap } = this.#options;
    let frames = 0;
    while (frames < FRAMES_PER_FLUSH) {
      const length = readInto(tap.fd, this.#frame, 0, MAX_FRAME);
      if (length < 0) {
        if (length !== AGAIN && length !== -Errno.EINTR) this.#tapError = -length;
        break;
      }
      frames++;
      this.#switch.captured(this.#frame, 0, length);
      // A super-frame fills a send by itself.
      if (length > 32_768) break;
    }
    if (frames > 0) this.#transmitter.flush();
    return frames > 0;
  }

  /** A fault in one packet must not end the thread; it is counted by being told. */
  #guard(turn: () => boolean): boolean {
    try {
      return turn();
    } catch (error) {
      this.#tell({ event: "fault", message: textOf(error) });
      return true;
    }
  }

  #obey(now: number): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#options.commands);
      if (received === undefined) return;
      this.#guard(() => {
        this.#execute(received.message as Command, now);
        return true;
      });
    }
  }

  #execute(command: Command, now: number): void {
    const { sessions } = this.#switch;
    switch (command.do) {
      case "open":
        sessions.set(command.session, new Session(command.session, command.peer, command.encrypted));
        return;
      case "key":
        sessions.get(command.session)?.setKey(command.direction, command.epoch, command.key, command.salt, now);
        return;
      case "path": {
        const session = sessions.get(command.session);
        if (session === undefined) return;
        session.remote = command.remoteSession;
        if (command.address !== 0) session.address = command.address;
        session.datagramBytes = command.datagramBytes;
        return;
      }
      case "control": {
        const session = sessions.get(command.session);
        if (session !== undefined)
          this.#transmitter.control(session, this.#options.self, command.message, command.datagramBytes);
        return;
      }
      case "close": {
        // Frames that wait for this session must not outlive its key.
        this.#transmitter.flush();
        sessions.get(command.session)?.close();
        sessions.delete(command.session);
        return;
      }
      case "routes":
        this.#switch.routes = command.routes;
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

  #tell(event: DatapathEvent): void {
    if (event.event !== "control" && event.event !== "report" && event.event !== "address-changed") {
      const now = performance.now();
      if (now - (this.#told.get(event.event) ?? Number.NEGATIVE_INFINITY) < TELL_EVERY_MS) return;
      this.#told.set(event.event, now);
    }
    this.#options.tell(event);
  }
}
