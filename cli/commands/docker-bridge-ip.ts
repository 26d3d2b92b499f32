import { printDocument } from "#cli/json/document.js";
import { Exit, rejectExtra } from "#cli/support/exit.js";
import { launchOptions } from "#cli/support/launched.js";
import { readFlags } from "#cli/support/read-flags.js";
import { addressOfCidr } from "#src/address.js";
import { findLink, ipv4Of } from "#src/linux/links/links.js";

/** `weave docker-bridge-ip`: prints the first IPv4 address of Docker's bridge, without a newline, for `--dns` in scripts. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("docker-bridge-ip", args);
  rejectExtra(words);
  const bridge = launchOptions().docker?.bridge ?? (process.env.DOCKER_BRIDGE || "docker0");
  const link = await findLink(bridge);
  const cidr = link && ipv4Of(link)[0];
  if (cidr === undefined)
    throw new Exit(
      1,
      `Docker's bridge ${bridge} ${link === undefined ? "does not exist" : "has no IPv4 address"} on this host`,
    );
  if (values.json) return printDocument("docker-bridge-ip", { Address: addressOfCidr(cidr) });
  process.stdout.write(addressOfCidr(cidr));
}
