import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
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

/** A thread allocates nothing for a frame: a small heap keeps it from growing on what commands leave behind. */
const THREAD_HEAP_MB = 32;
const REPORT_TIMEOUT_MS = 2_000;

/**
 * How many threads a machine of `cores` should give to frames. On two, the containers and the other end of a connection
 * need the second more than we do; on many, a few threads outrun any network card.
 */
export function threadsFor(cores: number): number {
  if (cores < 4) return 1;
  return Math.min(4, Math.floor(cores / 2));
}

interface Thread {
  readonly worker: Worker;
  readonly commands: MessagePort;
  readonly wake: WakeUp;
  readonly raised: Int32Array;
  readonly exited: Promise<void>;
}

/** The event loop's handle of the datapath threads: one for each queue of the TAP. */
export class Datapath {
  readonly offloads: Offloads;
  readonly #threads: readonly Thread[];
  readonly #onEvent: (event: DatapathEvent) => void;
  readonly #reports = new Map<number, (report: DatapathReport) => void>();
  #ticket = 0;
  #stopping = false;

  /**
   * @param options.self our own peer name
   * @param options.openssl call OpenSSL directly
   * @param options.onEvent what the threads have to say, reports excepted
   * @param options.onFailure a thread died: the frame path is gone, and only a new process brings it back
   */
  constructor(options: {
    self: number;
    tap: TapDevice;
    sockets: FrameSockets;
    openssl: boolean;
    onEvent: (event: DatapathEvent) => void;
    onFailure: (error: Error) => void;
  }) {
    const { tap, sockets, openssl } = options;
    const lanes = tap.fds.length;
    if (lanes > MAX_LANES || lanes !== sockets.fds.length)
      throw new WeaveError("WEAVE_BOUNDS", `${lanes} threads, and ${sockets.fds.length} sockets for them`);
    this.offloads = { ...tap.offloads, ...sockets.offloads, openssl };
    this.#onEvent = options.onEvent;
    this.#threads = tap.fds.map((tapFd, lane) => {
      const { port1, port2 } = new MessageChannel();
      const wake = new WakeUp();
      const raised = new SharedArrayBuffer(4);
      const start: WorkerStart = {
        self: options.self,
        lane,
        lanes,
        tapFd,
        tapName: tap.name,
        udpFd: sockets.fds[lane],
        address: sockets.address,
        offloads: this.offloads,
        wakeFd: wake.fd,
        commands: port2,
        raised,
      };
      const worker = new Worker(new URL("./worker.js", import.meta.url), {
        workerData: start,
        transferList: [port2],
        resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB, maxYoungGenerationSizeMb: 4 },
      });
      worker.on("message", (event: DatapathEvent) => this.#hear(lane, event));
      worker.on("error", options.onFailure);
      const exited = new Promise<void>((resolve) =>
        worker.once("exit", (code) => {
          if (!this.#stopping)
            options.onFailure(new WeaveError("WEAVE_NATIVE", `a thread of the frame path ended with status ${code}`));
          resolve();
        }),
      );
      return { worker, commands: port1, wake, raised: new Int32Array(raised), exited };
    });
  }

  get threads(): number {
    return this.#threads.length;
  }

  /** Tells the threads; a few things are for one of them. */
  send(command: Command): void {
    switch (command.do) {
      case "control":
      case "batch":
        return this.#tell(0, command);
      // The thread that has the lane's replay window.
      case "record":
        return this.#tell((command.record[0] >>> 4) % this.#threads.length, command);
      case "record-sent":
        return this.#tell(command.lane, command);
      default:
        for (let lane = 0; lane < this.#threads.length; lane++) this.#tell(lane, command);
    }
  }

  /** What the threads know and have counted; undefined when one does not answer in time. */
  async report(): Promise<DatapathReport | undefined> {
    const reports = await Promise.all(this.#threads.map((_, lane) => this.#reportOf(lane)));
    return reports.some((report) => report === undefined) ? undefined : merged(reports as DatapathReport[]);
  }

  /** Ends the threads and waits for them. Their descriptors are the caller's to close, afterwards. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.send({ do: "stop" });
    for (const { exited, commands, wake } of this.#threads) {
      await exited;
      commands.close();
      closeFd(wake.fd);
    }
  }

  #tell(lane: number, command: Command): void {
    const { commands, raised, wake } = this.#threads[lane];
    commands.postMessage(command);
    Atomics.add(raised, 0, 1);
    wake.raise();
  }

  #hear(lane: number, event: DatapathEvent): void {
    switch (event.event) {
      case "report":
        this.#reports.get(event.ticket)?.(event.report);
        this.#reports.delete(event.ticket);
        return;
      case "mac-learnt":
        return this.#tellOthers(lane, { do: "learn", mac: event.mac, peer: event.peer });
      case "address-changed":
        this.#tellOthers(lane, { do: "address", session: event.session, address: event.address });
    }
    this.#onEvent(event);
  }

  #tellOthers(except: number, command: Command): void {
    for (let lane = 0; lane < this.#threads.length; lane++) if (lane !== except) this.#tell(lane, command);
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
      this.#tell(lane, { do: "report", ticket });
    });
  }
}

/** Sums of what was counted; of the MACs, who has seen one last. */
function merged([first, ...others]: readonly DatapathReport[]): DatapathReport {
  if (others.length === 0) return first;
  const counters = { ...first.counters };
  const drops = { ...first.drops };
  const macs = new Map(first.macs.map((entry) => [entry.mac, entry]));
  for (const report of others) {
    for (const name of Object.keys(counters) as (keyof typeof counters)[]) counters[name] += report.counters[name];
    for (const reason of DROPS) drops[reason] += report.drops[reason];
    for (const entry of report.macs) {
      const known = macs.get(entry.mac);
      if (known === undefined || entry.idleMs < known.idleMs) macs.set(entry.mac, entry);
    }
  }
  return { macs: [...macs.values()], counters, drops };
}
