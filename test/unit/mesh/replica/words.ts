import * as z from "zod/mini";
import type { GossipChannel } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";
import { signHead } from "#mesh/replica/head.js";
import { OriginRecords } from "#mesh/replica/origin-records.js";
import { RecordCodec } from "#mesh/replica/record-codec.js";
import { type RecordFormat, textFormat } from "#mesh/replica/record-format.js";
import { Replica, type ReplicaDeps, type ReplicaOptions } from "#mesh/replica/replica.js";
import { encodeReplicaMessage, type StateMessage } from "#mesh/replica/replica-message.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import { silentLog } from "#src/log.js";
import { newsOf } from "#test/sim/gossip-network.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

/** A set of words, for tests of replicated sets. */
export interface Word {
  readonly word: string;
}

export const WORDS: RecordFormat<Word> = textFormat<Word>(
  "words",
  { word: z.string().check(z.maxLength(1_000)) },
  ({ word }) => 100 + word.length,
);

export const nameOf = (index: number): PeerName =>
  `02:00:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;

export const signerOf = (index: number): Signer => {
  const seed = new Uint8Array(32).fill(7);
  new DataView(seed.buffer).setUint32(0, index);
  return makeSigner(seed);
};

/** What an origin says, signed: also what no honest one would say. */
export function stateOf<F extends object>(
  format: RecordFormat<F>,
  index: number,
  said: {
    incarnation: number;
    version?: number;
    horizon?: number;
    /** Fields of the records; the versions are 1, 2 … or `first`, `first + 1` … */
    fields: readonly F[];
    first?: number;
    signer?: Signer;
    /** Name of the set. */
    set?: string;
  },
): StateMessage {
  const origin = nameOf(index);
  const codec = new RecordCodec(format);
  const first = said.first ?? 1;
  const entries = said.fields.map((each, i) => codec.entry(each, { origin, version: first + i, tombstone: 0 }));
  const { hash } = new OriginRecords<F>().try(entries, said.horizon ?? 0);
  const version = said.version ?? first + said.fields.length - 1;
  const head = { origin, incarnation: said.incarnation, version, horizon: said.horizon ?? 0, hash };
  const { signature } = signHead(said.signer ?? signerOf(index), said.set ?? format.name, head);
  return { ...head, signature, since: 0, records: entries.map(({ raw }) => raw) };
}

export const statesPayload = (...states: readonly StateMessage[]): Uint8Array =>
  encodeReplicaMessage({ kind: "states", states });

/** A message that a peer has sent. */
export interface Sent {
  readonly to: PeerName | undefined;
  readonly payload: Uint8Array;
}

/** Replicas of one set whose messages arrive immediately, and go to all others. */
export class Group<F extends object> {
  readonly clock = new VirtualClock();
  readonly members = new Map<PeerName, Replica<F>>();
  readonly replicas = new Map<PeerName, Replicas>();
  readonly format: RecordFormat<F>;
  /** Peers that exist, and send nothing. */
  readonly known = new Set<number>();
  readonly sent: Sent[] = [];
  /** A peer without the set, which delivers all messages of the others. */
  relay: number | undefined;
  /** Whether messages arrive. */
  connected = true;
  /** Number of further messages to one peer that arrive, before the connections are lost. */
  left = Number.POSITIVE_INFINITY;

  constructor(format: RecordFormat<F>) {
    this.format = format;
  }

  start(index: number, options: Partial<ReplicaOptions<F> & ReplicaDeps<F>> = {}): Replica<F> {
    const self = nameOf(index);
    this.known.add(index);
    const replicas = new Replicas(signerOf(index));
    const identity = (peer: PeerName) => {
      const found = [...this.known].find((each) => nameOf(each) === peer);
      return found === undefined ? undefined : signerOf(found).identity;
    };
    const replica = new Replica<F>({
      self,
      incarnation: this.clock.wall(),
      format: this.format,
      clock: this.clock,
      log: silentLog,
      replicas,
      shareBytes: 16 << 20,
      peers: {
        reachable: () => new Set([...this.known].map(nameOf).filter((each) => each !== self)),
        nickname: () => undefined,
        identity,
        pinnedIdentity: identity,
      },
      ...options,
    });
    this.members.set(self, replica);
    this.replicas.set(self, replicas);
    replica.open(this.#channel(self));
    return replica;
  }

  /** Counts of what a member has rejected. */
  rejected(index: number): Replicas["rejections"]["counts"] {
    return this.replicas.get(nameOf(index))!.rejections.counts;
  }

  /** Delivers a gossip message to a member as of a neighbour, and passes on what was new. */
  inject(to: number, neighbour: number, payload: Uint8Array): void {
    const at = nameOf(to);
    const news = this.members.get(at)!.onGossip(nameOf(neighbour), payload, nameOf(neighbour));
    for (const each of newsOf(news)) this.#spread(at, each);
  }

  /** Each compares with each, as repair does after a while. */
  async repair(): Promise<void> {
    // The comparisons of before have ended.
    await this.clock.run(2_500);
    this.#exchange();
    await this.clock.run(2_500);
  }

  /** Connections between all open, perhaps a short time after others were lost. @param left see {@link left} */
  reconnect(left = Number.POSITIVE_INFINITY): void {
    this.connected = true;
    this.left = left;
    for (const replica of this.members.values()) for (const peer of this.members.keys()) replica.connected(peer);
    this.#exchange();
  }

  /** Each receives the digest of each. */
  #exchange(): void {
    for (const [from, replica] of this.members)
      for (const [to, other] of this.members)
        if (to !== from && this.connected)
          for (const each of newsOf(other.onGossip(from, replica.state(), this.#neighbour(from))))
            this.#spread(to, each);
  }

  /** Words of the live records that a member has, with the last digits of their origins. */
  digests(): Set<string> {
    return new Set([...this.members.values()].map(({ digest }) => digest));
  }

  #neighbour(from: PeerName): PeerName {
    return this.relay === undefined ? from : nameOf(this.relay);
  }

  #channel(self: PeerName): GossipChannel {
    return {
      unicast: (to, payload) => {
        this.sent.push({ to, payload });
        if (this.left-- <= 0) this.connected = false;
        if (this.connected) this.members.get(to)?.onUnicast(self, payload, this.#neighbour(self));
        return true;
      },
      broadcast() {},
      gossip: (payload) => {
        this.sent.push({ to: undefined, payload });
        this.#spread(self, payload);
      },
    };
  }

  #spread(from: PeerName, payload: Uint8Array): void {
    if (!this.connected) return;
    for (const [to, replica] of this.members) {
      if (to === from) continue;
      for (const each of newsOf(replica.onGossip(from, payload, this.#neighbour(from)))) this.#spread(to, each);
    }
  }
}

/** The live words of a replica, sorted, each with its origin's number. */
export const wordsOf = (replica: Replica<Word>): string[] =>
  [...replica.all()]
    .filter(({ tombstone }) => tombstone === 0)
    .map(({ word, origin }) => `${Number.parseInt(origin.slice(-2), 16)} ${word}`)
    .sort();
