import { parentPort, workerData } from "node:worker_threads";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { DatapathThread, type ThreadOptions } from "#router/datapath/thread.js";

/** The options that a {@link Datapath} passes to each of its worker threads. */
export type WorkerStart = Omit<ThreadOptions, "emit" | "commandCount"> & { readonly commandCount: SharedArrayBuffer };

const start = workerData as WorkerStart;
const port = parentPort!;
new DatapathThread({
  ...start,
  commandCount: new Int32Array(start.commandCount),
  emit: (event: DatapathEvent) =>
    port.postMessage(event, event.event === "record" ? [event.record.buffer as ArrayBuffer] : []),
}).run();
