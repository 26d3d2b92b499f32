import type { PeerName } from "#mesh/peer.js";
import type { AbsentOrigins } from "#mesh/replica/absent-origins.js";
import { Answers } from "#mesh/replica/answers.js";
import type { Equivocations } from "#mesh/replica/equivocations.js";
import type { RecordSet } from "#mesh/replica/record-set.js";
import {
  BUCKETS,
  type ComparisonMessage,
  type OriginVersion,
  type ReplicaMessage,
  type StateEntry,
  WANT_ENTRIES,
} from "#mesh/replica/replica-message.js";
import type { Partner, ReturnPath } from "#mesh/replica/return-path.js";
import { PROOF_VERSION, Summary } from "#mesh/replica/summary.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

/** Number of origins up to which all of them are compared at once: hashes of buckets would take as many bytes. */
const FEW_ORIGINS = 8;
/** Time for which one comparison with a peer runs, and for which a version is not requested again. */
const EXCHANGE_MS = 2_000;
/** Number of neighbours of which an offered version is requested: one may be hostile, and offer what it does not have. */
const MAX_ASKED = 2;
/** Maximum number of comparisons, and of requests, that are remembered. */
const MAX_REMEMBERED = 4_096;

/** Requests for the state of an origin. */
interface Requests {
  readonly at: number;
  /** The peers that were asked, and the version after which. */
  readonly of: Map<PeerName, number>;
}

export interface RepairDeps<F> {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly set: RecordSet<F>;
  readonly absent: AbsentOrigins;
  readonly equivocations: Equivocations;
  readonly returnPath: ReturnPath;
  /** Returns the origins that are compared, beside this peer: the same set as before unless it has changed. */
  readonly counted: () => ReadonlySet<PeerName>;
  /** Whether other peers may know a later state of this origin that is to be requested. */
  readonly isWanted: (entry: OriginVersion) => boolean;
  /** Signs this peer's latest changes. */
  readonly sign: () => void;
  /** @returns false when the next hop is too slow now */
  readonly send: (to: PeerName, message: ReplicaMessage) => boolean;
}

/**
 * Compares the set with that of a neighbour, and exchanges what differs:
 *
 *     digest ──▶            hash of everything
 *            ◀── buckets    32 hashes of groups of origins, if the digest differs (with few origins: all states in short)
 *     summary ──▶           the states in short, of the groups that differ
 *            ◀── want       what is missing there
 *            ◀── states     what is missing here
 *     states ──▶
 *
 * A peer beyond a relay must prove first that it is the one that asks: until then it gets a digest, with a token.
 */
export class Repair<F> {
  readonly #deps: RepairDeps<F>;
  readonly #answers: Answers<F>;
  /** The last summary, and what it was made of. */
  #summary: { readonly of: readonly unknown[]; readonly summary: Summary } | undefined;
  /** Peers with which a comparison runs, and the monotonic time of its start. */
  readonly #running = new Map<PeerName, number>();
  /** Versions that were requested, and when. */
  readonly #requested = new Map<PeerName, Requests>();

  constructor(deps: RepairDeps<F>) {
    this.#deps = deps;
    this.#answers = new Answers(deps);
  }

  get summary(): Summary {
    const { self, set, equivocations, counted } = this.#deps;
    const now = [set.revision, equivocations.count, counted(), counted().size];
    if (this.#summary === undefined || now.some((each, i) => each !== this.#summary!.of[i]))
      this.#summary = { of: now, summary: new Summary(set as RecordSet<unknown>, equivocations, counted(), self) };
    return this.#summary.summary;
  }

  stop(): void {
    this.#answers.stop();
  }

  /** A connection with a peer has opened: what was under way with it may be lost, and begins again. */
  connected(peer: PeerName): void {
    this.#running.delete(peer);
    for (const { of } of this.#requested.values()) of.delete(peer);
    this.#answers.forget(peer);
  }

  /** Handles a message of a comparison. */
  receive(from: Partner, message: ComparisonMessage): void {
    if (from.relayed?.isProven === false && message.kind !== "digest")
      return void this.#reply(from, { kind: "digest", digest: this.summary.digest });
    switch (message.kind) {
      case "digest":
        return this.#compareDigest(from, message.digest);
      case "buckets": {
        const { summary } = this;
        const mask = summary.differing(message.digests);
        if (mask !== 0) this.#sendSummary(from, summary, mask);
        return;
      }
      case "summary":
        return this.#compare(from, message.entries, this.summary.select(message.mask, message.first, message.last));
      case "want":
        for (const wanted of message.origins) this.#answer(from.name, wanted);
    }
  }

  /** Sends the present state of an origin. */
  send(to: PeerName, origin: PeerName): void {
    this.#answer(to, { origin, incarnation: 0, version: 0 });
  }

  /** Requests states of a peer, except those that were requested of it a short time ago. */
  ask(of: PeerName, wanted: readonly OriginVersion[]): void {
    this.#ask({ name: of }, wanted);
  }

  #ask(of: Partner, wanted: readonly OriginVersion[]): void {
    const origins = wanted.filter(({ origin, version }) =>
      this.#requests(origin, of.name, version, Number.POSITIVE_INFINITY),
    );
    for (let at = 0; at < origins.length; at += WANT_ENTRIES)
      this.#reply(of, { kind: "want", origins: origins.slice(at, at + WANT_ENTRIES) });
  }

  /** Requests a state that a peer offers, unless it was requested of others a short time ago. @returns whether it is requested */
  askOffered(of: PeerName, wanted: OriginVersion): boolean {
    if (!this.#requests(wanted.origin, of, wanted.version, MAX_ASKED)) return false;
    return this.#deps.send(of, { kind: "want", origins: [wanted] });
  }

  /** An origin has a new state here: later ones may be requested. */
  arrived(origin: PeerName): void {
    this.#requested.delete(origin);
  }

  /** Records a request. @returns false when it is a repetition, or `most` peers were asked already */
  #requests(origin: PeerName, of: PeerName, version: number, most: number): boolean {
    const now = this.#deps.clock.now();
    let requests = this.#requested.get(origin);
    if (requests === undefined || now - requests.at >= EXCHANGE_MS) {
      requests = { at: now, of: new Map() };
      this.#requested.delete(origin);
      this.#requested.set(origin, requests);
      limitSize(this.#requested, MAX_REMEMBERED);
    }
    const before = requests.of.get(of);
    // All records are requested after a delta that did not fit.
    if (before === undefined ? requests.of.size >= most : before <= version) return false;
    requests.of.set(of, version);
    return true;
  }

  /** What is missing of an origin here, as a request to a peer; undefined when nothing newer than `theirs` can be missing. */
  lacking(theirs: OriginVersion, of: PeerName): OriginVersion | undefined {
    const { self, set, equivocations, absent, isWanted } = this.#deps;
    const { origin } = theirs;
    const ours = set.get(origin)?.head;
    if (ours === undefined) {
      const proof = equivocations.get(origin);
      if (proof !== undefined && proof.first.incarnation >= theirs.incarnation) return undefined;
      return isWanted(theirs) && !absent.hasNoRoom(origin, of) ? { origin, incarnation: 0, version: 0 } : undefined;
    }
    if (order(theirs, ours) <= 0 || !isWanted(theirs)) return undefined;
    // Of this peer itself: all records show whether it has signed them.
    const isDelta = origin !== self && ours.incarnation === theirs.incarnation && theirs.version !== PROOF_VERSION;
    return isDelta
      ? { origin, incarnation: ours.incarnation, version: ours.version }
      : { origin, incarnation: 0, version: 0 };
  }

  #compareDigest(from: Partner, digest: Uint8Array): void {
    const { summary } = this;
    if (Buffer.compare(digest, summary.digest) === 0) return;
    // The proof is a part of the comparison that has begun.
    if (from.relayed?.isProven !== true && !this.#begins(from.name)) return;
    if (summary.entries.length > FEW_ORIGINS) this.#reply(from, { kind: "buckets", digests: summary.buckets });
    else this.#sendSummary(from, summary, 2 ** BUCKETS - 1);
  }

  #begins(from: PeerName): boolean {
    const now = this.#deps.clock.now();
    const before = this.#running.get(from);
    if (before !== undefined && now - before < EXCHANGE_MS) return false;
    this.#running.delete(from);
    this.#running.set(from, now);
    limitSize(this.#running, MAX_REMEMBERED);
    return true;
  }

  #sendSummary(to: Partner, summary: Summary, mask: number): void {
    for (const message of summary.messages(mask)) this.#reply(to, message);
  }

  #reply(to: Partner, message: ComparisonMessage): boolean {
    return this.#deps.send(to.name, this.#deps.returnPath.seal(to, message));
  }

  #compare(from: Partner, theirs: readonly StateEntry[], ours: readonly StateEntry[]): void {
    const listed = new Map(theirs.map((entry) => [entry.origin, entry]));
    for (const entry of ours) {
      const other = listed.get(entry.origin);
      if (other === undefined || order(entry, other) > 0)
        this.#answer(from.name, other ?? { ...entry, incarnation: 0, version: 0 });
    }
    const known = new Map(ours.map((entry) => [entry.origin, entry]));
    const wanted: OriginVersion[] = [];
    for (const entry of theirs) {
      const own = known.get(entry.origin);
      if (own !== undefined && order(entry, own) === 0 && Buffer.compare(entry.mark, own.mark) !== 0) {
        // Two signatures of one version: both ends need all records of both to see whether the contents differ.
        wanted.push({ origin: entry.origin, incarnation: 0, version: 0 });
        this.#answer(from.name, { ...entry, incarnation: 0, version: 0 });
      } else {
        const lacking = this.lacking(entry, from.name);
        if (lacking !== undefined) wanted.push(lacking);
      }
    }
    this.#ask(from, wanted);
  }

  /** Sends an origin's state, or the proof against it. @param theirs the version that the other peer has */
  #answer(to: PeerName, { origin, incarnation, version }: OriginVersion): void {
    const { set, equivocations, send } = this.#deps;
    const ours = set.get(origin);
    const proof = equivocations.get(origin);
    if (ours !== undefined) this.#answers.add(to, origin, ours.head.incarnation === incarnation ? version : 0);
    else if (proof !== undefined) send(to, { kind: "proof", proof });
  }
}

const order = (a: OriginVersion, b: OriginVersion): number => a.incarnation - b.incarnation || a.version - b.version;
