import { attach, detach } from "#src/host/attach.js";
import { findNetns, netnsIdent } from "#src/host/netns.js";
import { printAddresses, takeAddresses, takeName, takeTimeout } from "./arguments.js";
import { usage } from "./exit.js";
import { obtain } from "./ipam.js";
import { launchedBridge } from "./launched.js";
import { qualified, register } from "./names.js";
import { needRoot } from "./root.js";

/** `weave attach [addr…] [--name name] [--no-multicast-route] [--timeout seconds] <netns>` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const { timeout, rest: timed } = takeTimeout(rest);
  const { name, rest: words } = takeName(timed);
  const multicastRoute = !words.includes("--no-multicast-route");
  const [target, ...more] = words.filter((word) => word !== "--no-multicast-route");
  if (target === undefined || more.length > 0 || target.startsWith("-")) throw usage();
  needRoot();
  const netns = findNetns(target);
  // Before anything is made: a name that cannot be had is a mistake.
  const fqdn = name === undefined ? undefined : await qualified(name);
  const { addresses, fresh, undo } = await obtain(netnsIdent(netns), wanted, { container: true, timeout });
  try {
    await attach(netns, { bridge: launchedBridge(), addresses, multicastRoute });
    if (fqdn !== undefined) await register(netnsIdent(netns), addresses, fqdn);
  } catch (error) {
    await detach(netns, fresh).catch(() => {});
    await undo();
    throw error;
  }
  printAddresses(addresses);
}
