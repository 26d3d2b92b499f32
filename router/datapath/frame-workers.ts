import { Worker } from "node:worker_threads";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import type { WarmEvent, WorkerPreparation, WorkerStart } from "#router/datapath/worker.js";
import { WeaveError } from "#src/errors.js";
import { installedFile } from "#src/installation.js";

/** Heap limit of a thread. Frames allocate nothing, so a small heap suffices and bounds the garbage of commands. */
const THREAD_HEAP_MB = 32;
/** Limit of the heap for new objects in a thread. */
const THREAD_YOUNG_HEAP_MB = 4;

/** A worker thread before it has its queue of the TAP. */
export interface FrameWorker {
  /** Makes it a thread of the frame path. Call this once. */
  start(start: WorkerStart, onEvent: (event: DatapathEvent) => void): void;
  /** Resolves when the worker has ended. */
  readonly exited: Promise<void>;
}

export interface FrameWorkersOptions extends WorkerPreparation {
  /** Number of threads. */
  readonly threads: number;
  /** Called when a thread has died, unless {@link stopping} was called. Only a new process can restore the frame path. */
  readonly onFailure: (error: Error) => void;
}

/** The worker threads of the frame path. They start, and warm up, before the rest of the router is there to give them work. */
export class FrameWorkers {
  readonly workers: readonly FrameWorker[];
  /** Resolves when all threads are warm, to the reasons why one is slower than it could be. */
  readonly warm: Promise<readonly string[]>;
  #stopping = false;

  /** @throws WEAVE_INSTALLATION when the program of the threads is missing */
  constructor(options: FrameWorkersOptions) {
    const file = installedFile("#router/datapath/worker.js");
    const all = Array.from({ length: options.threads }, () => this.#worker(file, options));
    this.workers = all;
    this.warm = Promise.all(all.map(({ warm }) => warm)).then((failures) => [...new Set(failures.flat())]);
  }

  /** From now on the end of a thread is no failure. */
  stopping(): void {
    this.#stopping = true;
  }

  #worker(file: string, { cpuMs, offloads, nice, onFailure }: FrameWorkersOptions) {
    const preparation: WorkerPreparation = { cpuMs, offloads, nice };
    const worker = new Worker(file, {
      workerData: preparation,
      // The environment of the process may have secrets, for example of Docker's client.
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB, maxYoungGenerationSizeMb: THREAD_YOUNG_HEAP_MB },
    });
    let dead: (why: string) => void = () => {};
    const warm = new Promise<readonly string[]>((resolve) => {
      dead = (why) => resolve([why]);
      worker.once("message", ({ failures }: WarmEvent) => resolve(failures));
    });
    worker.on("error", (error) => {
      dead(error.message);
      onFailure(error);
    });
    const exited = new Promise<void>((resolve) =>
      worker.once("exit", (code) => {
        const why = `a thread of the frame path ended with status ${code}`;
        dead(why);
        if (!this.#stopping) onFailure(new WeaveError("WEAVE_NATIVE", why));
        resolve();
      }),
    );
    const start: FrameWorker["start"] = (message, onEvent) => {
      // Its first message may still be under way.
      worker.on("message", (event: DatapathEvent | WarmEvent) => event.event !== "warm" && onEvent(event));
      worker.postMessage(message, [message.commands]);
    };
    return { start, exited, warm };
  }
}
