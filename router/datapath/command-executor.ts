import type { DatagramSender } from "#router/datapath/datagram-socket.js";
import { NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import type { Command, DatapathEvent, Tally } from "#router/datapath/protocol.js";
import type { Receiver } from "#router/datapath/receiver.js";
import { Session } from "#router/datapath/session.js";
import type { Switch } from "#router/datapath/switch.js";
import type { Transmitter } from "#router/datapath/transmitter.js";

export interface CommandExecutorDeps {
  readonly switch: Switch;
  readonly transmitter: Transmitter;
  readonly receiver: Receiver;
  readonly tally: Tally;
  /** Opens the sender of a new session. */
  readonly openSender: () => DatagramSender;
  /** Closes the sender of a session, unless sessions share it. */
  readonly closeSender: (sender: DatagramSender) => void;
  readonly emit: (event: DatapathEvent) => void;
}

export interface CommandExecutorOptions {
  /** The lane of this thread. */
  readonly lane: number;
  /** Number of threads. */
  readonly lanes: number;
  /** True: call OpenSSL directly; false: node:crypto. */
  readonly openssl: boolean;
}

type OpenCommand = Extract<Command, { do: "open" }>;
/** A command for an open session. */
type SessionCommand = Exclude<Extract<Command, { session: number }>, OpenCommand>;

/** Executes the commands of the event loop in a frame thread. */
export class CommandExecutor {
  readonly #deps: CommandExecutorDeps;
  readonly #options: CommandExecutorOptions;
  /** True after the command "stop". */
  stopped = false;

  constructor(deps: CommandExecutorDeps, options: CommandExecutorOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  execute(command: Command, now: number): void {
    const { macs } = this.#deps.switch;
    switch (command.do) {
      case "open":
        return this.#open(command);
      case "routes":
        this.#deps.switch.routes = command.routes;
        return this.#deps.switch.guards.update(command.routes.relays, now);
      case "learn":
        macs.learn(command.mac, command.peer, now, false);
        return;
      case "forget":
        return macs.forget(command.peer);
      case "release":
        return macs.release(command.mac);
      case "report":
        return this.#report(command.ticket, now);
      case "stop":
        this.stopped = true;
        return;
      default: {
        const session = this.#deps.switch.sessions.get(command.session);
        if (session !== undefined) this.#executeFor(session, command, now);
      }
    }
  }

  /** Closes all sessions, when the thread ends. */
  close(): void {
    for (const session of this.#deps.switch.sessions.values()) this.#close(session);
  }

  #open({ session: local, ...options }: OpenCommand): void {
    const sender = this.#deps.openSender();
    const traffic = this.#deps.tally.traffic.of(options.peer);
    this.#deps.switch.sessions.set(local, new Session({ ...options, ...this.#options, local, sender, traffic }));
  }

  #executeFor(session: Session, command: SessionCommand, now: number): void {
    const { transmitter } = this.#deps;
    switch (command.do) {
      case "key":
        return session.keys.setKey(command.direction, command.epoch, command.key, command.salt, now);
      case "remote":
        session.keys.remote = command.remoteSession;
        return;
      case "next-hop":
        session.nextHop = command.nextHop.kind;
        if (command.nextHop.kind === NEXT_HOP_EVENT_LOOP) session.handOverBytes = command.nextHop.recordBytes;
        return;
      case "datagrams":
        if (command.address !== undefined) session.address = command.address;
        session.source = command.source;
        session.datagramBytes = command.datagramBytes;
        session.datagramsPerRecord = command.datagramsPerRecord;
        session.batches = command.batches;
        return;
      case "address":
        session.address = command.address;
        return;
      case "record":
        return this.#deps.receiver.record(session, command.record);
      case "record-sent":
        session.handedOver = Math.max(0, session.handedOver - command.bytes);
        return;
      case "control":
        return transmitter.control(session, command.message, command.datagramBytes);
      case "batch":
        return transmitter.batch(session, command.messages, command.datagramBytes);
      case "close":
        // Frames queued for this session must be sealed before its key is freed.
        transmitter.flush();
        this.#close(session);
        this.#deps.switch.sessions.delete(session.local);
    }
  }

  #close(session: Session): void {
    session.keys.close();
    this.#deps.closeSender(session.sender);
  }

  #report(ticket: number, now: number): void {
    const { tally, emit } = this.#deps;
    const { macs: table, guards } = this.#deps.switch;
    const macs = [...table.entries()].map(([mac, { peer, seen }]) => ({
      mac,
      peer,
      idleMs: now - seen,
    }));
    const { counters, drops } = tally;
    const claims = { sourceClaims: guards.claims(), macClaims: table.claims };
    const report = { macs, counters, drops, ...claims, traffic: tally.traffic.list(), loads: [tally.load()] };
    emit({ event: "report", ticket, report });
  }
}
