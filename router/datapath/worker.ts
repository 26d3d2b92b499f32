import { parentPort, workerData } from "node:worker_threads";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { DatapathThread, type ThreadOptions } from "#router/datapath/thread.js";
import { type WarmUpOptions, warmUp } from "#router/datapath/warm-up.js";
import { errorText } from "#src/errors.js";

/** The options of a frame thread, as a message: sent to its worker when TAP and sockets are open. */
export type WorkerStart = Omit<ThreadOptions, "emit" | "commandCount" | "idle"> & {
  readonly commandCount: SharedArrayBuffer;
};

/** The first message of a worker. */
export interface WarmEvent {
  readonly event: "warm";
  /** Why there was no warm-up. */
  readonly failure: string | undefined;
}

const port = parentPort!;

function warmed(): WarmEvent {
  try {
    warmUp(workerData as WarmUpOptions);
    return { event: "warm", failure: undefined };
  } catch (error) {
    return { event: "warm", failure: errorText(error) };
  }
}

port.postMessage(warmed());
port.once("message", (start: WorkerStart) =>
  new DatapathThread({
    ...start,
    commandCount: new Int32Array(start.commandCount),
    emit: (event: DatapathEvent) =>
      port.postMessage(event, event.event === "record" ? [event.record.buffer as ArrayBuffer] : []),
  }).run(),
);
