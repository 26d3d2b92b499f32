import { type Attached, attachedNamespaces, lookInside } from "#src/host/attached.js";
import { findBridge } from "#src/host/bridge.js";
import { ipv4Of } from "#src/host/links.js";
import { findNetns, NAMED, netnsIdent } from "#src/host/netns.js";
import { EXPOSED } from "#src/ident.js";
import { launchedBridge } from "./launched.js";
import { needRoot } from "./root.js";

/** Ids are cut to this length, as in the original. */
const ID_LENGTH = 12;

/** `weave ps [container…]`: what is on the bridge, with its addresses. Unknown containers print nothing. */
export async function run(args: readonly string[]): Promise<void> {
  needRoot();
  const bridge = await findBridge(launchedBridge());
  if (bridge === undefined) return;
  const host = { id: EXPOSED, mac: bridge.address, addresses: ipv4Of(bridge) };
  if (args.length === 0) {
    print(host);
    for (const attached of await attachedNamespaces()) print({ id: nameOf(attached), ...attached });
  }
  for (const word of args) {
    if (word === EXPOSED) print(host);
    else {
      const attached = await find(word);
      if (attached !== undefined) print({ id: word, ...attached });
    }
  }
}

function print({ id, mac, addresses }: { id: string; mac: string; addresses: readonly string[] }): void {
  process.stdout.write(`${[id.slice(0, ID_LENGTH), mac, ...addresses].join(" ")}\n`);
}

/** As a user would call it, where it has a name that is short enough; else as IPAM does. */
function nameOf({ netns }: Attached): string {
  const name = netns.path.startsWith(`${NAMED}/`) ? netns.path.slice(NAMED.length + 1) : undefined;
  return name !== undefined && name.length <= ID_LENGTH ? name : netnsIdent(netns);
}

async function find(word: string): Promise<Attached | undefined> {
  const known = (await attachedNamespaces()).find((each) => nameOf(each) === word || netnsIdent(each.netns) === word);
  if (known !== undefined) return known;
  try {
    return await lookInside(findNetns(word));
  } catch {
    return undefined;
  }
}
