import { launchedBridge } from "#cli/support/launched.js";
import { readFlags } from "#cli/support/read-flags.js";
import { findTarget } from "#cli/support/target.js";
import { errorText } from "#src/errors.js";
import { EXPOSED } from "#src/ident.js";
import { findBridge } from "#src/linux/links/bridge.js";
import { ipv4Of } from "#src/linux/links/links.js";
import {
  type BridgeInterface,
  bridgeInterfacesIn,
  bridgePorts,
  listNamespaces,
  type OwnedNetns,
} from "#src/linux/netns/inspect.js";
import { NETNS_FOLDER, netnsIdent } from "#src/linux/netns/netns.js";
import { requireRoot } from "#src/root.js";

/** Ids are cut to this length, as in the original. */
const ID_LENGTH = 12;
/** Namespaces that are looked into at the same time. */
const AT_ONCE = 8;

/** `weave ps [container…]`: what is on the bridge, with its addresses. A container that is not attached has no line. */
export async function run(args: readonly string[]): Promise<void> {
  requireRoot();
  const { words } = readFlags("ps", args);
  const bridge = await findBridge(launchedBridge());
  if (bridge === undefined) return;
  const ports = await bridgePorts(bridge.ifname);
  const host = { mac: bridge.address, addresses: ipv4Of(bridge) };
  if (words.length === 0) {
    print(EXPOSED, [host]);
    const all = listNamespaces();
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const some = all.slice(at, at + AT_ONCE);
      const found = await Promise.all(some.map(({ netns }) => bridgeInterfacesIn(netns, ports)));
      for (const [index, interfaces] of found.entries()) print(nameOf(some[index]), interfaces);
    }
  }
  for (const word of words) {
    if (word === EXPOSED) print(EXPOSED, [host]);
    else {
      const netns = await find(word);
      if (netns !== undefined) print(word, await bridgeInterfacesIn(netns, ports));
    }
  }
}

function print(id: string, interfaces: readonly BridgeInterface[]): void {
  for (const { mac, addresses } of interfaces)
    process.stdout.write(`${[id.slice(0, ID_LENGTH), mac, ...addresses].join(" ")}\n`);
}

/** As a user would call it, where it has a name that is short enough; else as IPAM does. */
function nameOf({ netns, container }: OwnedNetns): string {
  if (container !== undefined) return container;
  const name = netns.path.startsWith(`${NETNS_FOLDER}/`) ? netns.path.slice(NETNS_FOLDER.length + 1) : undefined;
  return name !== undefined && name.length <= ID_LENGTH ? name : netnsIdent(netns);
}

async function find(word: string): Promise<OwnedNetns["netns"] | undefined> {
  const known = listNamespaces().find((place) => nameOf(place) === word || netnsIdent(place.netns) === word);
  if (known !== undefined) return known.netns;
  try {
    return (await findTarget(word)).netns;
  } catch (error) {
    // Said, but no failure: scripts of Weave Net's time list what may be gone.
    process.stderr.write(`${errorText(error)}\n`);
    return undefined;
  }
}
