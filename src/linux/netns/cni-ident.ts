import { createHash } from "node:crypto";
import { CNI_IFNAME_PREFIX } from "#src/linux/links/interface-names.js";
import { type Netns, netnsIdent } from "#src/linux/netns/netns.js";

/** An attachment of a CNI runtime: a container may have several interfaces, and a runtime several networks. */
export interface CniAttachmentId {
  /** Name of the network in its configuration. */
  readonly network: string;
  readonly container: string;
  readonly ifname: string;
}

const PREFIX = "cni:";
/** Prefix of holders without an interface of weave: another plugin has requested only an address. */
const IPAM_PREFIX = "cni-ipam:";
/** Base-36 digits of a hash in the name of a host end: with the prefix it has 15 characters, the most that the kernel allows. */
const DIGITS = 8;

const textOf = ({ network, container, ifname }: CniAttachmentId) => `${network}:${container}:${ifname}`;

/** Makes the ident of an attachment in IPAM. None of its parts contains a colon. */
export const cniIdent = (id: CniAttachmentId): string => PREFIX + textOf(id);

/** Makes the ident of an address that another plugin has requested for its interface. */
export const cniIpamIdent = (id: CniAttachmentId): string => IPAM_PREFIX + textOf(id);

/** Reads an ident of {@link cniIdent}; undefined for any other ident. */
export const parseCniIdent = (ident: string): CniAttachmentId | undefined => parse(ident, PREFIX);

/** Reads an ident of {@link cniIpamIdent}; undefined for any other ident. */
export const parseCniIpamIdent = (ident: string): CniAttachmentId | undefined => parse(ident, IPAM_PREFIX);

function parse(ident: string, prefix: string): CniAttachmentId | undefined {
  const fields = ident.startsWith(prefix) ? ident.slice(prefix.length).split(":") : [];
  if (fields.length !== 3 || fields.includes("")) return undefined;
  const [network, container, ifname] = fields;
  return { network, container, ifname };
}

/** An attachment and its namespace, as the alias of its host end has them: by it the interface is found without the database. */
export interface CniAlias extends CniAttachmentId {
  readonly ident: string;
  /** The holder's id of the namespace: see {@link netnsIdent}. */
  readonly netns: string;
}

/** Makes the alias of the host end of an attachment; the kernel allows 255 characters. */
export const cniAlias = (ident: string, netns: Pick<Netns, "inode">): string => `${ident} ${netnsIdent(netns)}`;

/** Reads an alias of {@link cniAlias}; undefined for any other one. */
export function parseCniAlias(alias = ""): CniAlias | undefined {
  const [ident, netns, ...rest] = alias.split(" ");
  const id = parseCniIdent(ident);
  return id === undefined || netns === undefined || rest.length > 0 ? undefined : { ...id, ident, netns };
}

/** Makes the name of the host end of an attachment from its ident. */
export function cniHostIfname(ident: string): string {
  const hash = createHash("sha256").update(ident).digest().readUIntBE(0, 6);
  return CNI_IFNAME_PREFIX + (hash % 36 ** DIGITS).toString(36).padStart(DIGITS, "0");
}
