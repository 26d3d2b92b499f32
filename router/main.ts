import { startWorker } from "#router/datapath/start-worker.js";

/**
 * The router process: `node router/main.js [--foreground] [--supervised=KIND] [--restarted] [--replace]`. A thread of the frame path loads its
 * modules while the rest of the program, which takes longer, loads its own: this file imports little.
 */
const worker = startWorker();
const { RouterProcess } = await import("#router/router-process.js");
await new RouterProcess(worker).start();
