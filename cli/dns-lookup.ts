import { Resolver } from "node:dns/promises";
import { systemCode } from "#src/errors.js";
import { mustCall } from "./client.js";
import { Exit, usage } from "./exit.js";
import { qualified } from "./names.js";

const TIMEOUT_MS = 5_000;

/** `weave dns-lookup <name>`: its addresses, one a line; nothing when it is unknown. */
export async function run(args: readonly string[]): Promise<void> {
  if (args.length !== 1 || args[0].startsWith("-")) throw usage();
  const server = await mustCall({ path: "/dns-address-port" });
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  resolver.setServers([server]);
  try {
    const addresses = await resolver.resolve4(await qualified(args[0]));
    process.stdout.write(addresses.map((address) => `${address}\n`).join(""));
  } catch (error) {
    if (["ENOTFOUND", "ENODATA"].includes(systemCode(error) ?? "")) return;
    throw new Exit(1, `${server} does not answer: ${systemCode(error)}`);
  }
}
