import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { FrameWorkers } from "#router/datapath/frame-workers.js";
import {
  type Command,
  type DatapathEvent,
  type DatapathReport,
  DROPS,
  type Offloads,
} from "#router/datapath/protocol.js";
import { MAX_LANES } from "#router/datapath/record.js";
import type { WorkerStart } from "#router/datapath/worker.js";
import { WeaveError } from "#src/errors.js";
import { closeFd, WakeUp } from "#src/linux/native/files.js";
import type { TapDevice } from "#src/linux/native/tap.js";
import type { FrameSockets } from "#src/linux/native/udp.js";

const REPORT_TIMEOUT_MS = 2_000;

/**
 * The number of frame threads for a host with `cores` cores. With fewer than four cores the containers need the other cores;
 * with many cores a few threads are faster than any network card.
 */
export function threadsFor(cores: number): number {
  if (cores < 4) return 1;
  return Math.min(4, Math.floor(cores / 2));
}

export interface DatapathDeps {
  readonly tap: TapDevice;
  readonly sockets: FrameSockets;
  /** One for each queue of the TAP. */
  readonly workers: FrameWorkers;
  /** Receives the events of the threads, except reports and MACs that were learned. */
  readonly onEvent: (event: DatapathEvent) => void;
}

export interface DatapathOptions {
  /** Our own peer name. */
  readonly self: number;
  /** Call OpenSSL directly. */
  readonly openssl: boolean;
}

interface Thread {
  readonly commands: MessagePort;
  readonly wake: WakeUp;
  readonly commandCount: Int32Array;
  readonly exited: Promise<void>;
}

/** The event loop's interface to the frame threads: one thread for each queue of the TAP. */
export class Datapath {
  readonly offloads: Offloads;
  readonly #threads: readonly Thread[];
  readonly #deps: DatapathDeps;
  readonly #reports = new Map<number, (report: DatapathReport) => void>();
  #ticket = 0;
  #contested = false;

  /** @throws WEAVE_BOUNDS, WEAVE_NATIVE */
  constructor({ self, openssl, ...deps }: DatapathDeps & DatapathOptions) {
    const { tap, sockets, workers } = deps;
    const lanes = tap.fds.length;
    const [ports, threads] = [sockets.fds.length, workers.workers.length];
    if (lanes > MAX_LANES || lanes !== ports || lanes !== threads)
      throw new WeaveError("WEAVE_BOUNDS", `${lanes} queues, and ${ports} sockets and ${threads} threads for them`);
    this.offloads = { ...tap.offloads, ...sockets.offloads, openssl };
    this.#deps = deps;
    this.#threads = tap.fds.map((_, lane) => this.#startThread(self, lane));
  }

  #startThread(self: number, lane: number): Thread {
    const { tap, sockets, workers } = this.#deps;
    const { port1, port2 } = new MessageChannel();
    const wake = new WakeUp();
    const commandCount = new SharedArrayBuffer(4);
    const start: WorkerStart = {
      self,
      lane,
      lanes: tap.fds.length,
      tapFd: tap.fds[lane],
      tapName: tap.name,
      udpFd: sockets.fds[lane],
      address: sockets.address,
      offloads: this.offloads,
      wakeFd: wake.fd,
      commands: port2,
      commandCount,
    };
    const worker = workers.workers[lane];
    worker.start(start, (event) => this.#onThreadEvent(lane, event));
    return { commands: port1, wake, commandCount: new Int32Array(commandCount), exited: worker.exited };
  }

  /** Whether a peer has claimed something that was not its own, since the start. The report has the details. */
  get contested(): boolean {
    return this.#contested;
  }

  get threads(): number {
    return this.#threads.length;
  }

  /** Sends a command to all threads, or to the thread that it concerns. */
  send(command: Command): void {
    switch (command.do) {
      case "control":
      case "batch":
        return this.#sendTo(0, command);
      // The thread that has the replay window of the record's lane.
      case "record":
        return this.#sendTo((command.record[0] >>> 4) % this.#threads.length, command);
      case "record-sent":
        return this.#sendTo(command.lane, command);
      default:
        for (let lane = 0; lane < this.#threads.length; lane++) this.#sendTo(lane, command);
    }
  }

  /** The MACs and counters of all threads; undefined when a thread does not reply within {@link REPORT_TIMEOUT_MS}. */
  async report(): Promise<DatapathReport | undefined> {
    const reports = await Promise.all(this.#threads.map((_, lane) => this.#reportOf(lane)));
    return reports.some((report) => report === undefined) ? undefined : merged(reports as DatapathReport[]);
  }

  /** Stops the threads and waits for their end. The caller closes the TAP and the sockets afterwards. */
  async stop(): Promise<void> {
    this.#deps.workers.stopping();
    this.send({ do: "stop" });
    for (const { exited, commands, wake } of this.#threads) {
      await exited;
      commands.close();
      closeFd(wake.fd);
    }
  }

  #sendTo(lane: number, command: Command): void {
    const { commands, commandCount, wake } = this.#threads[lane];
    commands.postMessage(command);
    Atomics.add(commandCount, 0, 1);
    wake.signal();
  }

  #onThreadEvent(lane: number, event: DatapathEvent): void {
    switch (event.event) {
      case "report":
        this.#reports.get(event.ticket)?.(event.report);
        this.#reports.delete(event.ticket);
        return;
      case "mac-learnt":
        return this.#sendToOthers(lane, { do: "learn", mac: event.mac, peer: event.peer });
      case "mac-held":
      case "mac-full":
      case "mac-refused":
      case "source-refused":
        this.#contested = true;
        break;
      case "address-changed":
        this.#sendToOthers(lane, { do: "address", session: event.session, address: event.address });
    }
    this.#deps.onEvent(event);
  }

  #sendToOthers(except: number, command: Command): void {
    for (let lane = 0; lane < this.#threads.length; lane++) if (lane !== except) this.#sendTo(lane, command);
  }

  #reportOf(lane: number): Promise<DatapathReport | undefined> {
    const ticket = ++this.#ticket;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#reports.delete(ticket);
        resolve(undefined);
      }, REPORT_TIMEOUT_MS);
      this.#reports.set(ticket, (report) => {
        clearTimeout(timer);
        resolve(report);
      });
      this.#sendTo(lane, { do: "report", ticket });
    });
  }
}

/** The sums of all counters, and the times of all threads. For a MAC in several reports, the entry of the thread that saw it last. */
function merged([first, ...others]: readonly DatapathReport[]): DatapathReport {
  if (others.length === 0) return first;
  const counters = { ...first.counters };
  const drops = { ...first.drops };
  const macs = new Map(first.macs.map((entry) => [entry.mac, entry]));
  const sourceClaims = new Map(first.sourceClaims.map((claims) => [claims.neighbour, claims]));
  const macClaims = new Map(first.macClaims.map((claims) => [claims.peer, claims]));
  const traffic = new Map(first.traffic.map((counts) => [counts.peer, counts]));
  for (const report of others) {
    for (const counts of report.traffic) addCounts(traffic, counts.peer, counts);
    for (const claims of report.sourceClaims) addCounts(sourceClaims, claims.neighbour, claims);
    for (const claims of report.macClaims) addCounts(macClaims, claims.peer, claims);
    for (const name of Object.keys(counters) as (keyof typeof counters)[]) counters[name] += report.counters[name];
    for (const reason of DROPS) drops[reason] += report.drops[reason];
    for (const entry of report.macs) {
      const known = macs.get(entry.mac);
      if (known === undefined || entry.idleMs < known.idleMs) macs.set(entry.mac, entry);
    }
  }
  return {
    macs: [...macs.values()],
    counters,
    drops,
    sourceClaims: [...sourceClaims.values()],
    macClaims: [...macClaims.values()],
    traffic: [...traffic.values()],
    loads: [first, ...others].flatMap(({ loads }) => loads),
  };
}

/** Fields of such counts that identify something. The others are counts. */
const IDENTIFIERS: readonly string[] = ["neighbour", "source", "peer", "mac", "from"];

/** Adds the counts of a peer in one more thread. */
function addCounts<Counts extends object>(all: Map<number, Counts>, key: number, counts: Counts): void {
  const known = all.get(key) as Record<string, number> | undefined;
  const entries = Object.entries(counts as Record<string, number>).map(([field, value]) => [
    field,
    known === undefined || IDENTIFIERS.includes(field) ? value : known[field] + value,
  ]);
  all.set(key, Object.fromEntries(entries));
}
