import { Worker } from "node:worker_threads";
import { installedFile } from "#src/installation.js";

/** Heap limit of a thread. Frames allocate nothing, so a small heap suffices and bounds the garbage of commands. */
const THREAD_HEAP_MB = 32;
/** Limit of the heap for new objects in a thread. */
const THREAD_YOUNG_HEAP_MB = 4;

/**
 * Starts a thread of the frame path, which loads its modules and waits for a message of the type `WorkerPreparation`.
 *
 * @throws WEAVE_INSTALLATION when the program of the threads is missing
 */
export function startWorker(): Worker {
  return new Worker(installedFile("#router/datapath/worker.js"), {
    // The environment of the process may have secrets, for example of Docker's client.
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB, maxYoungGenerationSizeMb: THREAD_YOUNG_HEAP_MB },
  });
}
