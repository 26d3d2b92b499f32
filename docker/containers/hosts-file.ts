import { writeFileSync } from "node:fs";
import { fqdnOf } from "#docker/containers/container-names.js";
import type { Container } from "#docker/engine/shapes.js";
import { addressOfCidr } from "#src/address.js";

const LOCAL = [
  "127.0.0.1\tlocalhost",
  "::1\tip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "ff00::0\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/**
 * What a container's /etc/hosts shall say: its own names are at its addresses on the overlay, not at those of Docker's bridge.
 *
 * @param addresses in CIDR notation
 * @param name with its domain, if it has one
 * @param extra as Docker has them, `host:address`
 * @param hostname what the container calls itself
 */
export function hostsFile(
  addresses: readonly string[],
  name: string,
  extra: readonly string[] = [],
  hostname: string = name,
): string {
  // A container's name may have dots of its own, and is its host name then.
  const names = [...new Set([name, hostname, name.split(".")[0]])].join(" ");
  const own = name === "" ? [] : addresses.map((cidr) => `${addressOfCidr(cidr)}\t${names}`);
  const others = extra.map((entry) => {
    const colon = entry.indexOf(":");
    return `${entry.slice(colon + 1)}\t${entry.slice(0, colon)}`;
  });
  return `# Begin: weave\n${[...own, ...others, ...LOCAL].join("\n")}\n# End: weave\n`;
}

/** Writes a container's /etc/hosts in place: it has this very file, not its name. @throws what the file system says */
export function writeHostsFile(container: Container, addresses: readonly string[], extra: readonly string[]): void {
  const { Hostname } = container.Config;
  writeFileSync(container.HostsPath, hostsFile(addresses, fqdnOf(container) ?? Hostname, extra, Hostname));
}
