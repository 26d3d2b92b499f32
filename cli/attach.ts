import { writeHostsFile } from "#docker/hosts-file.js";
import { attach, detach } from "#src/host/attach.js";
import { lookInside } from "#src/host/attached.js";
import { printAddresses, takeAddHosts, takeAddresses, takeName, takeTimeout } from "./arguments.js";
import { usage } from "./exit.js";
import { obtain } from "./ipam.js";
import { launchedBridge } from "./launched.js";
import { qualified, register } from "./names.js";
import { needRoot } from "./root.js";
import { findTarget } from "./target.js";

const FLAGS = ["--no-multicast-route", "--without-dns", "--rewrite-hosts"];

/**
 * `weave attach [addr…] [--without-dns] [--rewrite-hosts] [--add-host host:ip…] [--no-multicast-route] [--name name]
 * [--timeout seconds] <container|netns>`
 */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const { timeout, rest: timed } = takeTimeout(rest);
  const { name, rest: named } = takeName(timed);
  const { hosts, rest: words } = takeAddHosts(named);
  const given = new Set(words.filter((word) => FLAGS.includes(word)));
  const [text, ...more] = words.filter((word) => !FLAGS.includes(word));
  if (text === undefined || more.length > 0 || text.startsWith("-")) throw usage();
  needRoot();
  const target = await findTarget(text);
  // Before anything is made: a name that cannot be had is a mistake. A container's own is only tried.
  const fqdn = name === undefined ? (given.has("--without-dns") ? undefined : target.fqdn) : await qualified(name);
  const present = async () => (await lookInside(target.netns))?.addresses ?? [];
  const { addresses, fresh, undo } = await obtain(target.ident, wanted, { container: true, timeout, present });
  try {
    if (given.has("--rewrite-hosts")) {
      if (target.container === undefined)
        throw usage("--rewrite-hosts is for containers: a namespace has no /etc/hosts");
      writeHostsFile(target.container, addresses, hosts);
    }
    const multicastRoute = !given.has("--no-multicast-route");
    await attach(target.netns, { bridge: launchedBridge(), addresses, multicastRoute });
    if (fqdn !== undefined) await register(target.ident, addresses, fqdn, name !== undefined);
  } catch (error) {
    await detach(target.netns, fresh).catch(() => {});
    await undo();
    throw error;
  }
  printAddresses(addresses);
}
