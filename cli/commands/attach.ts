import { oneContainer, printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { Exit } from "#cli/support/exit.js";
import { obtain } from "#cli/support/held-addresses.js";
import { launchedBridge } from "#cli/support/launched.js";
import { readFlags } from "#cli/support/read-flags.js";
import { qualified, register } from "#cli/support/registered-names.js";
import { findTarget } from "#cli/support/target.js";
import { writeHostsFile } from "#docker/containers/hosts-file.js";
import { inspectNamespace } from "#src/linux/netns/inspect.js";
import { attachNamespace, detachNamespace } from "#src/linux/netns/veth.js";
import { requireRoot } from "#src/root.js";

/**
 * `weave attach [addr…] [--without-dns] [--rewrite-hosts] [--add-host host:ip…] [--no-multicast-route] [--name name]
 * [--timeout seconds] <container|netns>`
 */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const { values, words } = readFlags("attach", rest);
  const text = oneContainer(words);
  const { name, timeout } = values;
  requireRoot();
  const target = await findTarget(text);
  // Before anything is made: a name that cannot be had is a mistake. A container's own is only tried.
  const fqdn = name === undefined ? (values.withoutDns ? undefined : target.fqdn) : await qualified(name);
  const present = async () => (await inspectNamespace(target.netns))?.addresses ?? [];
  const { addresses, fresh, undo } = await obtain(target.ident, wanted, { container: true, timeout, present });
  try {
    if (values.rewriteHosts) {
      if (target.container === undefined)
        throw new Exit(1, "--rewrite-hosts is for containers: a namespace has no /etc/hosts");
      writeHostsFile(target.container, addresses, values.addHosts);
    }
    const { multicastRoute } = values;
    await attachNamespace(target.netns, { bridge: launchedBridge(), addresses, multicastRoute });
    if (fqdn !== undefined) await register(target.ident, addresses, fqdn, name !== undefined);
  } catch (error) {
    await detachNamespace(target.netns, fresh).catch(() => {});
    await undo();
    throw error;
  }
  printAddresses(addresses);
}
