import { oneContainer, printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { addressForm, attach } from "#cli/support/attach-calls.js";
import { readFlags } from "#cli/support/read-flags.js";
import { requireRoot } from "#src/root.js";

/**
 * `weave attach [addr…] [--without-dns] [--rewrite-hosts] [--add-host host:ip…] [--no-multicast-route] [--name name]
 * [--timeout seconds] <container|netns>`
 */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  const { values, words } = readFlags("attach", rest);
  const container = oneContainer(words);
  requireRoot();
  const form = addressForm(addresses);
  if (values.withoutDns) form.set("own-name", "false");
  if (values.rewriteHosts) form.set("rewrite-hosts", "true");
  for (const entry of values.addHosts) form.append("add-host", entry);
  if (!values.multicastRoute) form.set("multicast-route", "false");
  if (values.name !== undefined) form.set("name", values.name);
  if (values.timeout !== undefined) form.set("timeout", String(values.timeout));
  printAddresses(await attach(container, form), values.json);
}
