import { printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { call, mustCall } from "#cli/support/client.js";
import { noMore } from "#cli/support/exit.js";
import { obtain } from "#cli/support/held-addresses.js";
import { launchedBridge } from "#cli/support/launched.js";
import { readFlags } from "#cli/support/read-flags.js";
import { qualified, register } from "#cli/support/registered-names.js";
import { EXPOSED } from "#src/ident.js";
import { findBridge } from "#src/linux/links/bridge.js";
import { ipv4Of } from "#src/linux/links/links.js";

/** `weave expose [addr…] [-h name] [--without-masquerade] [--timeout seconds]` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const { values, words } = readFlags("expose", rest);
  noMore(words);
  const { name, timeout } = values;
  const fqdn = name === undefined ? undefined : await qualified(name);
  const form = new URLSearchParams({ skipNAT: String(values.withoutMasquerade) });
  const present = async () => {
    const bridge = await findBridge(launchedBridge());
    return bridge === undefined ? [] : ipv4Of(bridge);
  };
  const { addresses, fresh, undo } = await obtain(EXPOSED, wanted, { container: false, timeout, present });
  try {
    for (const cidr of addresses) await mustCall({ method: "POST", path: `/expose/${cidr}`, form });
    if (fqdn !== undefined) await register(EXPOSED, addresses, fqdn);
  } catch (error) {
    for (const cidr of fresh) await call({ method: "DELETE", path: `/expose/${cidr}` }).catch(() => {});
    await undo();
    throw error;
  }
  printAddresses(addresses);
}
