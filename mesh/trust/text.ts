import { type PeerIdentity, type PeerName, peerText } from "#mesh/peer.js";
import { Refusal } from "#mesh/refusals.js";
import type { Conflict } from "#mesh/trust/conflicts.js";
import { shortFingerprint } from "#mesh/trust/fingerprint.js";
import type { Verdict } from "#mesh/trust/trust.js";

type Named = Pick<PeerIdentity, "name" | "nickname">;
type Identified = Named & Pick<PeerIdentity, "identity">;

/** Describes two reachable peers with one name or key, and the remedy. */
export function collisionText(local: Named, remote: Named): string {
  const who = `local "${peerText(local)}" and remote "${peerText(remote)}"`;
  return `${who} peer names collision: if one is a copy of the other, launch it with --name, or give it its own /etc/machine-id`;
}

/** Describes an identity that has the name of an absent peer, and the remedy. */
export function strangerText(kept: Identified, refused: Identified): string {
  return `"${peerText(refused)}" has another identity (${shortFingerprint(refused.identity)}) than "${peerText(kept)}" (${shortFingerprint(kept.identity)}), which is away: if ${kept.nickname || kept.name} was reinstalled, 'weave trust forget ${kept.name}' on each host that refuses it; otherwise another machine uses its name`;
}

/** Describes two machines with one identity, and the remedy. */
export function cloneText(peer: Named): string {
  return `two machines have the identity of "${peerText(peer)}": the database of one is a copy; 'weave reset' on the copy gives it an identity of its own`;
}

/** Describes an excluded peer. */
export function excludedText(peer: Named): string {
  return `"${peerText(peer)}" is excluded from the network: 'weave trust forget ${peer.name}' on each host lets it in again`;
}

/** Describes a peer whose identity has ended. */
export function retiredText(peer: Named): string {
  return `the identity of "${peerText(peer)}" was retired by 'weave reset', on this machine or a copy of it: 'weave reset --force' gives it another one`;
}

/** The refusal that ends the sessions of an identity which is not accepted any more. */
export function revocation(verdict: Verdict, peer: Named): Refusal {
  return verdict === "excluded"
    ? new Refusal("excluded", excludedText(peer))
    : new Refusal("retired", retiredText(peer));
}

/** Describes a conflict for status. @param isPresent whether the owner of a name is reachable @param nickname of a known peer */
export function conflictText(
  { kind, name, kept, refused, reporter }: Conflict,
  isPresent: (name: PeerName) => boolean,
  nickname: (name: PeerName) => string,
): string {
  const by = reporter === undefined ? "" : `, refused by ${peerText({ name: reporter, nickname: nickname(reporter) })}`;
  const [owner, other] = [
    { name, ...kept },
    { name, ...refused },
  ];
  if (kind === "clone") return cloneText(owner) + by;
  return (isPresent(name) ? collisionText(owner, other) : strangerText(owner, other)) + by;
}

/** Describes a peer that has signed two contents of one version of its records. */
export const contradictionText = (peer: Named, set: string): string =>
  `${peerText(peer)} has signed two contents of one version (${set}), and its records are ignored: if its machine was copied, give each copy its own name and identity; if it is hostile, exclude it`;
