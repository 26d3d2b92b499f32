import { writeFileSync } from "node:fs";
import { hostsFile } from "#docker/containers/hosts-file.js";

export interface HostsFile {
  /** Where it is on this host. */
  readonly path: string;
  /** The container's name, with its domain if it has one; "" for none. */
  readonly name: string;
  /** The container's own host name: it may have dots. */
  readonly hostname?: string;
  /** More entries as Docker has them, `host:address`. */
  readonly extra?: readonly string[];
}
export function writeHostsFile({ path, name, hostname, extra }: HostsFile, addresses: readonly string[]): void {
  writeFileSync(path, hostsFile(addresses, name, extra, hostname));
}
