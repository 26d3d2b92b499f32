import { isIdOrStart } from "#docker/engine/shapes.js";
import { findAttachmentTarget, type InspectContainer } from "#router/attachments/attachment-target.js";
import { errorText } from "#src/errors.js";
import { EXPOSED } from "#src/ident.js";
import { findBridge } from "#src/linux/links/bridge.js";
import { ipv4Of, type Link } from "#src/linux/links/links.js";
import { parseCniAlias } from "#src/linux/netns/cni-ident.js";
import {
  type BridgeInterface,
  bridgeInterfacesIn,
  bridgePorts,
  listNamespaces,
  type OwnedNetns,
} from "#src/linux/netns/inspect.js";
import { type Netns, netnsIdent, netnsName } from "#src/linux/netns/netns.js";

/** Width of the column for ids in `weave ps`: a namespace with a longer name is shown with its holder's id. */
const SHORT_ID = 12;
/** Maximum number of namespaces that are inspected at the same time. */
const CONCURRENCY = 8;

/** An interface on the bridge. */
export interface ListedAttachment extends BridgeInterface {
  /** The requested id; without one: a container's full id, or a namespace's name if it is short, otherwise its holder's id. */
  readonly id: string;
}

export interface AttachmentListing {
  readonly attachments: readonly ListedAttachment[];
  /** Requested ids that are not on this host, and the reason. */
  readonly missing: readonly { readonly id: string; readonly why: string }[];
}

/**
 * Lists the interfaces on the bridge of this host: of the host itself, and of namespaces that weave or its Docker plugin has
 * attached.
 *
 * @param ids containers or namespaces; none: all. An id that exists but is not attached is neither listed nor missing
 */
export async function listAttachments(
  bridgeName: string,
  ids: readonly string[],
  inspect: InspectContainer | undefined,
): Promise<AttachmentListing> {
  const bridge = await findBridge(bridgeName);
  if (bridge === undefined) return { attachments: [], missing: [] };
  const ports = await bridgePorts(bridge.ifname);
  const host = { id: EXPOSED, mac: bridge.address, addresses: ipv4Of(bridge) };
  if (ids.length === 0) return { attachments: [host, ...(await listAll(ports))], missing: [] };
  const attachments: ListedAttachment[] = [];
  const missing: { id: string; why: string }[] = [];
  // Once: it reads /proc of every process of the host.
  const known = listNamespaces();
  for (const id of ids) {
    if (id === EXPOSED) {
      attachments.push(host);
      continue;
    }
    const cni = await listCni(id, ports);
    if (cni.length > 0) {
      attachments.push(...cni);
      continue;
    }
    try {
      const netns = await findListed(id, known, inspect);
      for (const each of await bridgeInterfacesIn(netns, ports)) attachments.push({ id, ...each });
    } catch (error) {
      missing.push({ id, why: errorText(error) });
    }
  }
  return { attachments, missing };
}

async function listAll(ports: readonly Link[]): Promise<ListedAttachment[]> {
  const all = listNamespaces();
  const found: ListedAttachment[] = [];
  for (let at = 0; at < all.length; at += CONCURRENCY) {
    const some = all.slice(at, at + CONCURRENCY);
    const interfaces = await Promise.all(some.map(({ netns }) => bridgeInterfacesIn(netns, ports)));
    for (const [index, each] of interfaces.entries())
      found.push(...each.map((one) => ({ id: one.cniContainer ?? idOf(some[index]), ...one })));
  }
  return found;
}

/** The interfaces of a container of a CNI runtime, by its id or the start of it as `weave ps` shows it; none for any other id. */
async function listCni(id: string, ports: readonly Link[]): Promise<ListedAttachment[]> {
  const isThis = (container = "") => isIdOrStart(id, container);
  if (!ports.some(({ ifalias }) => isThis(parseCniAlias(ifalias)?.container))) return [];
  return (await listAll(ports)).filter(({ cniContainer }) => isThis(cniContainer)).map((each) => ({ ...each, id }));
}

function idOf({ netns, container }: OwnedNetns): string {
  if (container !== undefined) return container;
  const name = netnsName(netns);
  return name !== undefined && name.length <= SHORT_ID ? name : netnsIdent(netns);
}

/** Finds a namespace by an id of the listing, or like {@link findAttachmentTarget}. */
async function findListed(
  id: string,
  known: readonly OwnedNetns[],
  inspect: InspectContainer | undefined,
): Promise<Netns> {
  const listed = known.find((each) => idOf(each) === id || netnsIdent(each.netns) === id);
  return listed?.netns ?? (await findAttachmentTarget(id, inspect)).netns;
}
