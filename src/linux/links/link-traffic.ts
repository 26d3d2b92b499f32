import { readFileSync } from "node:fs";

/** Bytes that a link has received and sent since it was made. */
export interface LinkTraffic {
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Returns the traffic of a link in this network namespace (proc(5), `/proc/net/dev`); undefined: there is none of that name. */
export const linkTraffic = (name: string): LinkTraffic | undefined =>
  trafficOf(name, readFileSync("/proc/self/net/dev", "utf8"));

/** As {@link linkTraffic}. @param table the text of `/proc/net/dev` */
export function trafficOf(name: string, table: string): LinkTraffic | undefined {
  for (const line of table.split("\n")) {
    const [link, counts] = line.split(/:\s*/, 2);
    if (link.trim() !== name || counts === undefined) continue;
    // Received: bytes, packets, errors, drops, fifo, frame, compressed, multicast. Then the same of those sent.
    const fields = counts.trim().split(/\s+/).map(Number);
    return { receivedBytes: fields[0], sentBytes: fields[8] };
  }
  return undefined;
}
