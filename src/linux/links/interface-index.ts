import { readFileSync } from "node:fs";

/** Returns the index of an interface of this namespace; 0, which no interface has, when there is none of that name. */
export function interfaceIndex(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, "utf8"));
  } catch {
    return 0;
  }
}
