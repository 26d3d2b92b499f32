import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { Command, DatapathEvent, DatapathReport } from "#router/datapath/protocol.js";
import type { WorkerStart } from "#router/datapath/worker.js";
import { closeFd, WakeUp } from "#src/host/native/files.js";
import type { TapDevice } from "#src/host/native/tap.js";

/** The thread allocates nothing for a frame: a small heap keeps it from growing on what commands leave behind. */
const THREAD_HEAP_MB = 32;
const REPORT_TIMEOUT_MS = 2_000;

/** The event loop's handle of the datapath thread. */
export class Datapath {
  readonly #worker: Worker;
  readonly #commands: MessagePort;
  readonly #wake = new WakeUp();
  readonly #raised = new Int32Array(new SharedArrayBuffer(4));
  readonly #reports = new Map<number, (report: DatapathReport) => void>();
  readonly #exited: Promise<void>;
  #ticket = 0;

  /**
   * @param options.self our own peer name
   * @param options.onEvent what the thread has to say, reports excepted
   * @param options.onFailure the thread died: the frame path is gone, and only a new process brings it back
   */
  constructor(options: {
    self: number;
    tap: TapDevice;
    udpFd: number;
    onEvent: (event: DatapathEvent) => void;
    onFailure: (error: Error) => void;
  }) {
    const { port1, port2 } = new MessageChannel();
    this.#commands = port1;
    const start: WorkerStart = {
      self: options.self,
      tapFd: options.tap.fd,
      tapName: options.tap.name,
      udpFd: options.udpFd,
      wakeFd: this.#wake.fd,
      commands: port2,
      raised: this.#raised.buffer as SharedArrayBuffer,
    };
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), {
      workerData: start,
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB, maxYoungGenerationSizeMb: 4 },
    });
    this.#worker.on("message", (event: DatapathEvent) => {
      if (event.event !== "report") return options.onEvent(event);
      this.#reports.get(event.ticket)?.(event.report);
      this.#reports.delete(event.ticket);
    });
    this.#worker.on("error", options.onFailure);
    this.#exited = new Promise((resolve) => this.#worker.once("exit", () => resolve()));
  }

  send(command: Command): void {
    this.#commands.postMessage(command);
    Atomics.add(this.#raised, 0, 1);
    this.#wake.raise();
  }

  /** What the thread knows and has counted; undefined when it does not answer in time. */
  report(): Promise<DatapathReport | undefined> {
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
      this.send({ do: "report", ticket });
    });
  }

  /** Ends the thread and waits for it. Its descriptors are the caller's to close, afterwards. */
  async stop(): Promise<void> {
    this.send({ do: "stop" });
    await this.#exited;
    this.#commands.close();
    closeFd(this.#wake.fd);
  }
}
