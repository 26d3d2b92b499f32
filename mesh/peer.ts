import * as z from "zod/mini";
import { MAX_COUNT } from "#mesh/counter.js";
import { type MacText, macText } from "#src/mac.js";
import { VISIBLE_TEXT } from "#src/text.js";

/** A peer's name: 48 bits, written like a MAC address. It is also the MAC of the peer's bridge. */
export type PeerName = MacText;

/** One end's view of a connection, as it is gossiped. */
export interface PeerLink {
  readonly to: PeerName;
  /** The start of the remote end's identity ({@link keyStart}): it distinguishes machines that had the same name. */
  readonly key: string;
  /** The remote end's TCP address as this end sees it, `ip:port`. */
  readonly address: string;
  /** Whether this end dialled. */
  readonly outbound: boolean;
  /** Whether frames pass. */
  readonly established: boolean;
}

/** The identity of a peer, for one run of its process. */
export interface PeerIdentity {
  readonly name: PeerName;
  readonly nickname: string;
  /** Ed25519 public key, 64 hexadecimal digits: it signs what the peer says, also its {@link key}. */
  readonly identity: string;
  /** Static X25519 public key, 64 hexadecimal digits. A name is bound to it. */
  readonly key: string;
  /** Random for each start, 16 hexadecimal digits. */
  readonly uid: string;
  /** Grows with each start of the peer: of two records of a peer, the one with the higher incarnation wins. */
  readonly incarnation: number;
}

/** The record of a peer: its identity and its links. Only the peer itself changes it, and counts its versions. */
export interface PeerRecord extends PeerIdentity {
  readonly version: number;
  readonly links: readonly PeerLink[];
}

/** Read access to the known peers, for services that keep data of other peers. */
export interface KnownPeers {
  /** Returns the peers that have a route now, without this peer itself. */
  reachable(): ReadonlySet<PeerName>;
  /** Returns a peer's nickname; undefined for an unknown peer. */
  nickname(peer: PeerName): string | undefined;
  /**
   * Returns the Ed25519 public key that signs what a peer says, 64 hexadecimal digits; undefined for an unknown peer, and for one
   * whose identity is excluded or has retired.
   */
  identity(peer: PeerName): string | undefined;
  /**
   * Returns the identity that a peer's name belongs to, also an excluded one, in the form of {@link identity}: for what it has
   * signed while it was a member.
   */
  pinnedIdentity(peer: PeerName): string | undefined;
}

/**
 * Maximum number of peers of a network, and of links of a record: the highest --conn-limit, and Weave Net's hard limit. It
 * bounds all data that is kept or sent for each peer, so that other peers accept every message of an honest peer.
 */
export const MAX_PEERS = 4_096;
/** Maximum number of characters of a nickname. */
export const MAX_NICKNAME = 255;

const NAME = z.string().check(z.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/));
const COUNT = z.number().check(z.int(), z.gte(0), z.lte(MAX_COUNT));

export const peerNameShape = NAME;
export const countShape = COUNT;

export const nicknameShape = z.string().check(z.minLength(1), z.maxLength(MAX_NICKNAME), z.regex(VISIBLE_TEXT));

/** A nickname, or "" where the peer is known by its identity alone. */
export const nicknameOrNoneShape = z.union([z.literal(""), nicknameShape]);

/** A public key: 32 bytes as hexadecimal digits. */
export const keyShape = z.string().check(z.regex(/^[0-9a-f]{64}$/));

export const identityShape = z.object({
  name: NAME,
  nickname: nicknameShape,
  identity: keyShape,
  key: keyShape,
  uid: z.string().check(z.regex(/^[0-9a-f]{16}$/)),
  incarnation: COUNT,
});

/** Returns the part of an identity that a link contains: a quarter of it, enough to distinguish machines. */
export function keyStart(identity: string): string {
  return identity.slice(0, 16);
}

/** Whether a link leads to the machine of a record, not to an earlier or later machine of the same name. */
export function leadsTo(link: PeerLink, record: PeerRecord): boolean {
  return link.key === keyStart(record.identity);
}

/** Formats a peer as `name(nickname)`, for status and messages. */
export function peerText(peer: { readonly name: PeerName; readonly nickname: string }): string {
  return `${peer.name}(${peer.nickname})`;
}

/** Makes a name from six bytes: a unicast, locally administered MAC, as IEEE 802 requires of an invented address. */
export function peerNameFromBytes(bytes: Uint8Array): PeerName {
  const octets = Uint8Array.from(bytes.subarray(0, 6));
  octets[0] = (octets[0] & ~0x01) | 0x02;
  return macText(octets);
}
