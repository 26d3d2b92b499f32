import * as z from "zod/mini";
import type { Genesis } from "#ipam/ring/ring.js";
import { genesisShape } from "#ipam/wire/ring-codec.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import { signatureShape } from "#mesh/signing.js";
import { WeaveError } from "#src/errors.js";

/** The number of a proposal. The ballot with the higher round is higher, then the one with the higher name. Ballots are unique. */
export interface Ballot {
  readonly round: number;
  readonly proposer: PeerName;
}

/** The state of a peer in the election. Both ballots only increase. */
export interface Vote {
  /** The peer takes part in no lower ballot than this one. */
  readonly promised: Ballot;
  /** The highest accepted ballot, and its value. */
  readonly accepted: { readonly ballot: Ballot; readonly value: Genesis } | undefined;
  /** The voter's signature under both, see {@link voteBytes}; undefined in databases of before. */
  readonly signature?: Uint8Array | undefined;
}

export type Votes = ReadonlyMap<PeerName, Vote>;

export const NO_BALLOT: Ballot = { round: 0, proposer: "" };

/** Returns what a voter signs. @param range the range that is divided */
export function voteBytes(range: string, voter: PeerName, { promised, accepted }: Vote): Uint8Array {
  const text = ({ round, proposer }: Ballot) => [round, proposer];
  const value = accepted && [...text(accepted.ballot), accepted.value.at, ...accepted.value.peers];
  return Buffer.from(JSON.stringify(["vote", range, voter, ...text(promised), value ?? null]));
}

export function compareBallots(a: Ballot, b: Ballot): number {
  return a.round - b.round || (a.proposer < b.proposer ? -1 : a.proposer > b.proposer ? 1 : 0);
}

const ballotShape = z.object({ round: countShape, proposer: z.union([peerNameShape, z.literal("")]) });
/** A vote on the wire: peer, promised ballot, accepted ballot with the index of its value, or null, and the voter's signature. */
const voteShape = z.tuple([
  peerNameShape,
  ballotShape,
  z.nullable(z.tuple([ballotShape, countShape])),
  z._default(z.nullable(signatureShape), null),
]);
/** Votes on the wire and on disk. A value that many peers have accepted is written once. */
export const votesShape = z.object({
  values: z.array(genesisShape).check(z.maxLength(MAX_PEERS)),
  votes: z.array(voteShape).check(z.maxLength(MAX_PEERS)),
});

type WireVotes = z.infer<typeof votesShape>;

export function votesToWire(votes: Votes): WireVotes {
  const plain = ({ round, proposer }: Ballot) => ({ round, proposer });
  const values: { peers: PeerName[]; at: number }[] = [];
  const indexes = new Map<string, number>();
  const indexOf = ({ ballot: { round, proposer }, value }: NonNullable<Vote["accepted"]>): number => {
    const key = `${round} ${proposer} ${value.at} ${value.peers.length}`;
    const index = indexes.get(key) ?? values.push({ peers: [...value.peers], at: value.at }) - 1;
    indexes.set(key, index);
    return index;
  };
  const rows = [...votes].map(([peer, { promised, accepted, signature }]): WireVotes["votes"][number] => [
    peer,
    plain(promised),
    accepted === undefined ? null : [plain(accepted.ballot), indexOf(accepted)],
    signature ?? null,
  ]);
  return { values, votes: rows };
}

/** The inverse of {@link votesToWire}. @throws WEAVE_MESSAGE_MALFORMED when an accepted value is missing */
export function votesFromWire({ values, votes }: WireVotes): Votes {
  return new Map(
    votes.map(([peer, promised, accepted, bytes]): [PeerName, Vote] => {
      const signature = bytes === null ? undefined : Uint8Array.from(bytes);
      if (accepted === null) return [peer, { promised, accepted: undefined, signature }];
      const value = values[accepted[1]];
      if (value === undefined)
        throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an election's votes contradict themselves");
      return [peer, { promised, accepted: { ballot: accepted[0], value }, signature }];
    }),
  );
}
