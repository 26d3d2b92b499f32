import { printDocument } from "#cli/json/document.js";
import { Exit, rejectExtra } from "#cli/support/exit.js";
import { proxyAddress } from "#cli/support/proxy-address.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave config`: prints the argument that sends one call of `docker` through the proxy. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("config", args);
  rejectExtra(words);
  const address = await proxyAddress(process.env);
  if (address === undefined) throw new Exit(1, "weave runs without its Docker proxy on this host.");
  if (values.json) return printDocument("config", { Argument: `-H=${address}` });
  process.stdout.write(`-H=${address}\n`);
}
