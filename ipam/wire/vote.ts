import * as z from "zod/mini";
import type { Genesis } from "#ipam/ring/ring.js";
import { genesisShape } from "#ipam/wire/ring-codec.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
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
}

export type Votes = ReadonlyMap<PeerName, Vote>;

export const NO_BALLOT: Ballot = { round: 0, proposer: "" };

export function compareBallots(a: Ballot, b: Ballot): number {
  return a.round - b.round || (a.proposer < b.proposer ? -1 : a.proposer > b.proposer ? 1 : 0);
}

const ballotShape = z.object({ round: countShape, proposer: z.union([peerNameShape, z.literal("")]) });
/** A vote on the wire: peer, promised ballot, and accepted ballot with the index of its value, or null. */
const voteShape = z.tuple([peerNameShape, ballotShape, z.nullable(z.tuple([ballotShape, countShape]))]);
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
    const key = `${round} ${proposer}`;
    const index = indexes.get(key) ?? values.push({ peers: [...value.peers], at: value.at }) - 1;
    indexes.set(key, index);
    return index;
  };
  const rows = [...votes].map(([peer, { promised, accepted }]): WireVotes["votes"][number] => [
    peer,
    plain(promised),
    accepted === undefined ? null : [plain(accepted.ballot), indexOf(accepted)],
  ]);
  return { values, votes: rows };
}

/** The inverse of {@link votesToWire}. @throws WEAVE_MESSAGE_MALFORMED when an accepted value is missing */
export function votesFromWire({ values, votes }: WireVotes): Votes {
  return new Map(
    votes.map(([peer, promised, accepted]): [PeerName, Vote] => {
      if (accepted === null) return [peer, { promised, accepted: undefined }];
      const value = values[accepted[1]];
      if (value === undefined)
        throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an election's votes contradict themselves");
      return [peer, { promised, accepted: { ballot: accepted[0], value } }];
    }),
  );
}
