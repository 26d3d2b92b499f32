import { printDocument } from "#cli/json/document.js";
import { call } from "#cli/support/client.js";
import { Exit, rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave dns-args`: prints the flags of `docker run` for weaveDNS, without a newline; nothing when weaveDNS is off. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("dns-args", args);
  rejectExtra(words);
  const [address, domain] = await Promise.all([call({ path: "/dns-address" }), call({ path: "/domain" })]);
  if (address.status !== 200 && address.status !== 404) throw new Exit(1, address.body.trimEnd());
  const found = address.status === 404 ? [] : [`--dns=${address.body}`, `--dns-search=${domain.body}`];
  if (values.json) return printDocument("dns-args", { Arguments: found });
  process.stdout.write(found.join(" "));
}
