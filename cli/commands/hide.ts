import { printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { addressForm, detach } from "#cli/support/attach-calls.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { EXPOSED } from "#src/ident.js";

/** `weave hide [addr…]`: removes addresses from this host's bridge, and prints them. */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  const { values, words } = readFlags("hide", rest);
  rejectExtra(words);
  printAddresses(await detach(EXPOSED, addressForm(addresses)), values.json);
}
