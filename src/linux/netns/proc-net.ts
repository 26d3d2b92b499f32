import { readFileSync } from "node:fs";

/** The network state of a process, read from /proc/PID/net (proc(5)) without entering its namespace. */
export interface NetworkFiles {
  /** Returns the IPv4 addresses of an interface, in CIDR notation; undefined where there is no such interface. */
  addressesOf(device: string): string[] | undefined;
  /** Whether there is no interface except `lo`. */
  isEmpty(): boolean;
}

/** Opens the network state of a process. Its methods throw a system error when the process has ended. */
export function networkFiles(pid: number): NetworkFiles {
  const read = (name: string) => readFileSync(`/proc/${pid}/net/${name}`, "utf8");
  return {
    addressesOf(device) {
      if (
        !read("dev")
          .split("\n")
          .some((line) => line.trimStart().startsWith(`${device}:`))
      )
        return undefined;
      return addressesFrom(read("fib_trie"), read("route"), device);
    },
    isEmpty: () => !/^\s*(?!lo:)[^\s:]+:/m.test(read("dev")),
  };
}

/**
 * Finds the addresses of a device from two files: fib_trie lists all local addresses without their devices, route the networks
 * of each device.
 *
 * @param trie content of /proc/net/fib_trie
 * @param routes content of /proc/net/route: addresses in hexadecimal, in the machine's byte order
 */
export function addressesFrom(trie: string, routes: string, device: string): string[] {
  const local = new Set([...trie.matchAll(/\|-- ([\d.]+)\n\s+\/32 host LOCAL/g)].map(([, address]) => address));
  const networks = routes
    .split("\n")
    .map((line) => line.split("\t"))
    .filter(([name, , gateway]) => name === device && Number.parseInt(gateway, 16) === 0)
    .map((fields) => ({ network: numberOf(fields[1]), mask: numberOf(fields[7]) }))
    // Longest prefix first: an address belongs to the narrowest network that contains it.
    .sort((a, b) => b.mask - a.mask);
  return [...local].flatMap((address) => {
    const value = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
    const found = networks.find(({ network, mask }) => (value & mask) >>> 0 === network);
    return found === undefined ? [] : [`${address}/${prefixOf(found.mask)}`];
  });
}

/** Whether this machine is little-endian. */
const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function numberOf(hex: string): number {
  const octets = Buffer.from(hex, "hex");
  return LITTLE ? octets.readUInt32LE() : octets.readUInt32BE();
}

/** Returns the prefix length of a mask of ones followed by zeros. */
const prefixOf = (mask: number): number => (mask === 0 ? 0 : 1 + Math.clz32(mask & -mask));
