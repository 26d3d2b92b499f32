import type { Host } from "#test/lab/host.js";

export interface SlowLine {
  /** As tc(8) writes rates. */
  readonly rate: string;
  /** The queue before the line: the words of a qdisc of tc(8). */
  readonly queue: readonly string[];
}

/** Datagrams from `host` to `peer` wait for a line of that rate, in a queue of their own; TCP has the way that it had. */
export async function slowLine(host: Host, peer: Host, { rate, queue }: SlowLine): Promise<void> {
  const tc = (...args: string[]) => host.must("tc", ...args);
  const at = ["dev", host.device];
  await tc("qdisc", "add", ...at, "root", "handle", "1:", "htb", "default", "10");
  await tc("class", "add", ...at, "parent", "1:", "classid", "1:10", "htb", "rate", "10gbit");
  await tc("class", "add", ...at, "parent", "1:", "classid", "1:20", "htb", "rate", rate);
  await tc("qdisc", "add", ...at, "parent", "1:20", ...queue);
  const match = ["u32", "match", "ip", "dst", peer.address, "match", "ip", "protocol", "17", "0xff"];
  await tc("filter", "add", ...at, "parent", "1:", "protocol", "ip", ...match, "flowid", "1:20");
}

/** Ends {@link slowLine}. */
export const fastLine = (host: Host): Promise<string> => host.must("tc", "qdisc", "del", "dev", host.device, "root");
