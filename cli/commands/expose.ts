import { printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { addressForm, attach } from "#cli/support/attach-calls.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { EXPOSED } from "#src/ident.js";

/** `weave expose [addr…] [-h name] [--without-masquerade] [--timeout seconds]`: adds addresses to this host's bridge, and prints them. */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  const { values, words } = readFlags("expose", rest);
  rejectExtra(words);
  const form = addressForm(addresses);
  if (values.withoutMasquerade) form.set("masquerade", "false");
  if (values.name !== undefined) form.set("name", values.name);
  if (values.timeout !== undefined) form.set("timeout", String(values.timeout));
  printAddresses(await attach(EXPOSED, form), values.json);
}
