import { oneContainer, printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { addressForm, detach } from "#cli/support/attach-calls.js";
import { readFlags } from "#cli/support/read-flags.js";
import { requireRoot } from "#src/root.js";

/** `weave detach [addr…] <container|netns>`: removes addresses, and prints them. */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  const { values, words } = readFlags("detach", rest);
  const container = oneContainer(words);
  requireRoot();
  printAddresses(await detach(container, addressForm(addresses)), values.json);
}
