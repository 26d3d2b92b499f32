import { Resolver } from "node:dns/promises";
import { printDocument } from "#cli/json/document.js";
import { mustCall } from "#cli/support/client.js";
import { Exit, rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { qualifiedName } from "#cli/support/registered-names.js";
import { systemCode } from "#src/errors.js";

/** Limit for weaveDNS's answer. */
const TIMEOUT_MS = 5_000;

/** `weave dns-lookup <name>`: prints the addresses of a name, one a line; nothing on standard output for an unknown name. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("dns-lookup", args);
  const [name, ...more] = words;
  if (name === undefined) throw usageError("a name is missing");
  rejectExtra(more);
  const server = await mustCall({ path: "/dns-address-port" });
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  resolver.setServers([server]);
  const fqdn = await qualifiedName(name);
  try {
    const addresses = await resolver.resolve4(fqdn);
    if (values.json) return printDocument("dns-lookup", { Name: fqdn, Addresses: addresses });
    process.stdout.write(addresses.map((address) => `${address}\n`).join(""));
  } catch (error) {
    if (["ENOTFOUND", "ENODATA"].includes(systemCode(error) ?? "")) {
      if (values.json) return printDocument("dns-lookup", { Name: fqdn, Addresses: [] });
      // The status is 0, as with Weave Net, which used dig.
      process.stderr.write(`${fqdn} has no address\n`);
      return;
    }
    throw new Exit(1, `${server} does not answer: ${systemCode(error)}`);
  }
}
