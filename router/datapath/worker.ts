import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { DatapathThread } from "#router/datapath/thread.js";

/** What {@link Datapath} hands to its worker thread. */
export interface WorkerStart {
  readonly self: number;
  readonly tapFd: number;
  readonly tapName: string;
  readonly udpFd: number;
  readonly wakeFd: number;
  readonly commands: MessagePort;
  readonly raised: SharedArrayBuffer;
}

const start = workerData as WorkerStart;
const port = parentPort!;
new DatapathThread({
  self: start.self,
  tap: { fd: start.tapFd, name: start.tapName, close: () => {} },
  udpFd: start.udpFd,
  wakeFd: start.wakeFd,
  commands: start.commands,
  raised: new Int32Array(start.raised),
  tell: (event: DatapathEvent) => port.postMessage(event),
}).run();
