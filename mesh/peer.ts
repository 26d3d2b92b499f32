import { z } from "zod/mini";
import { MAX_COUNT } from "#mesh/counter.js";
import { type MacText, macText } from "#src/mac.js";

/** A peer's name: 48 bits, written like a MAC address. It is also the MAC of its bridge. */
export type PeerName = MacText;

/** One end's view of a connection, as it is gossiped. */
export interface PeerLink {
  readonly to: PeerName;
  /** The start of the remote end's key ({@link keyStart}): another machine may have had the name before. */
  readonly key: string;
  /** The remote end's TCP address as this end sees it, `ip:port`. */
  readonly address: string;
  readonly outbound: boolean;
  readonly established: boolean;
}

/** The identity of a peer, for one run of its process. */
export interface PeerIdentity {
  readonly name: PeerName;
  readonly nickname: string;
  /** Static X25519 public key, 64 hexadecimal digits. A name is bound to it. */
  readonly key: string;
  /** Random for each start, 16 hexadecimal digits. */
  readonly uid: string;
  /** Grows with each start of the peer: of two records of one peer, the one of the later run wins. */
  readonly incarnation: number;
}

/** The record of a peer: its identity and its links. The peer alone changes it, and counts its versions. */
export interface PeerRecord extends PeerIdentity {
  readonly version: number;
  readonly links: readonly PeerLink[];
}

/** The difference of two versions of a record: a link takes a hundred bytes, a record can take many kilobytes. */
export interface PeerDelta {
  readonly name: PeerName;
  readonly incarnation: number;
  readonly from: number;
  readonly to: number;
  readonly set: readonly PeerLink[];
  readonly drop: readonly PeerName[];
}

/** The other peers as this one knows them, for services that keep data of other peers. */
export interface KnownPeers {
  /** Peers to which there is a route now, without this peer itself. */
  reachable(): ReadonlySet<PeerName>;
  /** Undefined for an unknown peer. */
  nickname(peer: PeerName): string | undefined;
}

/**
 * Peers of one network, and so links of one record: the highest --conn-limit, and Weave Net's hard limit. All data that is
 * kept or sent for each peer has this bound, so that no honest peer sends what other peers must reject.
 */
export const MAX_PEERS = 4_096;
export const MAX_NICKNAME = 255;

/** Text of other peers is shown on our terminal: no control characters, nor other invisible ones. */
const VISIBLE = /^[^\p{C}]*$/u;

const NAME = z.string().check(z.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/));
const COUNT = z.number().check(z.int(), z.gte(0), z.lte(MAX_COUNT));

export const peerNameShape = NAME;
export const countShape = COUNT;

export const nicknameShape = z.string().check(z.minLength(1), z.maxLength(MAX_NICKNAME), z.regex(VISIBLE));

/** Text of another peer, safe for a terminal and a log. */
export function visible(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}

const linkShape = z.object({
  to: NAME,
  key: z.string().check(z.regex(/^[0-9a-f]{16}$/)),
  address: z.string().check(z.maxLength(64), z.regex(/^[\w.:[\]-]*$/)),
  outbound: z.boolean(),
  established: z.boolean(),
});

export const identityShape = z.object({
  name: NAME,
  nickname: nicknameShape,
  key: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  uid: z.string().check(z.regex(/^[0-9a-f]{16}$/)),
  incarnation: COUNT,
});

export const recordShape = z.object({
  ...identityShape.shape,
  version: COUNT,
  links: z.array(linkShape).check(z.maxLength(MAX_PEERS)),
});

export const deltaShape = z.object({
  name: NAME,
  incarnation: COUNT,
  from: COUNT,
  to: COUNT,
  set: z.array(linkShape).check(z.maxLength(MAX_PEERS)),
  drop: z.array(NAME).check(z.maxLength(MAX_PEERS)),
});

/** The part of a key that a link carries, a quarter of it: enough to distinguish machines. */
export function keyStart(key: string): string {
  return key.slice(0, 16);
}

/** Whether a link leads to the machine of a record, not to an earlier or later machine of the same name. */
export function leadsTo(link: PeerLink, record: PeerRecord): boolean {
  return link.key === keyStart(record.key);
}

/** `name(nickname)`, as status and messages show a peer. */
export function peerText(peer: { readonly name: PeerName; readonly nickname: string }): string {
  return `${peer.name}(${peer.nickname})`;
}

/** Six hash bytes as a name: unicast and locally administered, as IEEE 802 requires of an invented address. */
export function peerNameFromBytes(bytes: Uint8Array): PeerName {
  const octets = Uint8Array.from(bytes.subarray(0, 6));
  octets[0] = (octets[0] & ~0x01) | 0x02;
  return macText(octets);
}
