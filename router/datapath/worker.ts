import { parentPort, workerData } from "node:worker_threads";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { DatapathThread, type ThreadOptions } from "#router/datapath/thread.js";
import { type WarmUpOptions, warmUp } from "#router/datapath/warm-up.js";
import { errorText } from "#src/errors.js";
import { setThreadNice } from "#src/linux/native/scheduling.js";

/** The options of a frame thread, as a message: sent to its worker when TAP and sockets are open. */
export type WorkerStart = Omit<ThreadOptions, "emit" | "commandCount" | "idle"> & {
  readonly commandCount: SharedArrayBuffer;
};

/** What a worker does before it is a thread of the frame path. */
export interface WorkerPreparation extends WarmUpOptions {
  /** Nice value of the thread; 0: unchanged. */
  readonly nice: number;
}

/** The first message of a worker. */
export interface WarmEvent {
  readonly event: "warm";
  /** Why it has no priority, or was not warmed up. */
  readonly failures: readonly string[];
}

const port = parentPort!;

/** Prepares the thread. A failure costs speed alone. */
function prepare({ nice, ...warmUpOptions }: WorkerPreparation): WarmEvent {
  const failures: string[] = [];
  for (const step of [() => nice !== 0 && setThreadNice(nice), () => warmUp(warmUpOptions)])
    try {
      step();
    } catch (error) {
      failures.push(errorText(error));
    }
  return { event: "warm", failures };
}

port.postMessage(prepare(workerData as WorkerPreparation));
port.once("message", (start: WorkerStart) =>
  new DatapathThread({
    ...start,
    commandCount: new Int32Array(start.commandCount),
    emit: (event: DatapathEvent) =>
      port.postMessage(event, event.event === "record" ? [event.record.buffer as ArrayBuffer] : []),
  }).run(),
);
