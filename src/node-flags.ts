/**
 * Options of Node.js for a router, which runs for months: memory before speed of the event loop, which carries no frames
 * itself. The heap for new objects stays at 2 MB instead of 16 (--max-semi-space-size is in megabytes, per half). It is collected by
 * the thread that has filled it: the engine's four helpers took 17 to 20 % of a core more under a flood of long messages, and no neighbour
 * was charged for it.
 */
export const ROUTER_NODE_FLAGS: readonly string[] = ["--max-semi-space-size=2", "--single-threaded-gc"];
