import { parentPort, workerData } from "node:worker_threads";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { DatapathThread, type ThreadOptions } from "#router/datapath/thread.js";

/** What {@link Datapath} hands to each of its worker threads. */
export type WorkerStart = Omit<ThreadOptions, "tell" | "raised"> & { readonly raised: SharedArrayBuffer };

const start = workerData as WorkerStart;
const port = parentPort!;
new DatapathThread({
  ...start,
  raised: new Int32Array(start.raised),
  tell: (event: DatapathEvent) =>
    port.postMessage(event, event.event === "record" ? [event.record.buffer as ArrayBuffer] : []),
}).run();
