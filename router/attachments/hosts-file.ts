import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import type { HostsFile } from "#docker/container-attachments.js";
import { addressOfCidr } from "#src/address.js";

const LOCAL = [
  "127.0.0.1\tlocalhost",
  "::1\tip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "ff00::0\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/** Longer than any hosts file of Docker's. The container can write its own file, as long as it wants. */
const MAX_BYTES = 256 << 10;

/**
 * The text of a container's /etc/hosts: its own names resolve to its addresses on the overlay, not to those of Docker's bridge.
 *
 * @param addresses in CIDR notation
 */
export function hostsFileText(
  { name, hostname = name, extra = [] }: Pick<HostsFile, "name"> & Partial<HostsFile>,
  addresses: readonly string[],
): string {
  const names = [...new Set([name, hostname, name.split(".")[0]])].join(" ");
  const own = name === "" ? [] : addresses.map((cidr) => `${addressOfCidr(cidr)}\t${names}`);
  const others = extra.map((entry) => {
    const colon = entry.indexOf(":");
    return `${entry.slice(colon + 1)}\t${entry.slice(0, colon)}`;
  });
  return `# Begin: weave\n${[...own, ...others, ...LOCAL].join("\n")}\n# End: weave\n`;
}

/**
 * Writes a container's /etc/hosts. The file is overwritten and not replaced, because Docker bind-mounts its inode.
 *
 * @param addresses in CIDR notation
 * @throws a system error
 */
export function writeHostsFile(file: HostsFile, addresses: readonly string[]): void {
  writeFileSync(file.path, hostsFileText(file, addresses));
}

/** Reads a hosts file, to restore it; undefined when it is longer than {@link MAX_BYTES}. @throws a system error */
export function readHostsFile(path: string): Buffer | undefined {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(MAX_BYTES + 1);
    const length = readSync(file, bytes, 0, bytes.length, 0);
    return length > MAX_BYTES ? undefined : bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
