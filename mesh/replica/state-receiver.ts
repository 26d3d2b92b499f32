import type { PeerName } from "#mesh/peer.js";
import type { AbsentOrigins } from "#mesh/replica/absent-origins.js";
import { Assemblies } from "#mesh/replica/assemblies.js";
import { type Equivocations, isProof, type Proof } from "#mesh/replica/equivocations.js";
import { compareHeads, type Head, isHeadBy } from "#mesh/replica/head.js";
import { type Entry, OriginRecords } from "#mesh/replica/origin-records.js";
import type { RecordCodec } from "#mesh/replica/record-codec.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import type { OriginState, RecordSet } from "#mesh/replica/record-set.js";
import type { RecordRejections, RejectionReason } from "#mesh/replica/rejections.js";
import type { OriginVersion, StateMessage } from "#mesh/replica/replica-message.js";
import type { Verify } from "#mesh/signing.js";

/** What to do after a message about an origin. */
export type Outcome =
  /** It was known. */
  | { readonly what: "known" }
  /** It was rejected, or is not complete yet. */
  | { readonly what: "rejected" }
  /** It was new: it is passed on. */
  | { readonly what: "news"; readonly state: StateMessage }
  /** The origin has signed two contents of one version: the proof is passed on. */
  | { readonly what: "proof"; readonly proof: Proof }
  /** Records are missing: the neighbour is asked for them. */
  | { readonly what: "ask"; readonly origin: OriginVersion };

export interface StateReceiverDeps<F extends object> {
  /** Name of the set. */
  readonly name: string;
  readonly codec: RecordCodec<F>;
  readonly set: RecordSet<F>;
  readonly absent: AbsentOrigins;
  readonly equivocations: Equivocations;
  readonly rejections: RecordRejections;
  readonly verify: Verify;
  /** Returns the key of an origin; see ReplicaOptions. */
  readonly identify: (origin: PeerName, records: readonly Versioned<F>[]) => string | undefined;
  /** Returns the highest plausible incarnation. */
  readonly latest: () => number;
}

const KNOWN: Outcome = { what: "known" };
const REJECTED: Outcome = { what: "rejected" };

/**
 * Checks what neighbours send about other origins, cheap checks first, and takes what is new into the set. What is rejected is
 * counted. A state is taken only as a whole: the origin must have signed the hash of all its records.
 */
export class StateReceiver<F extends object> {
  readonly #deps: StateReceiverDeps<F>;
  readonly #assemblies = new Assemblies();

  constructor(deps: StateReceiverDeps<F>) {
    this.#deps = deps;
  }

  /** Handles a state of another origin. @param isReachable whether the origin has a route */
  receive(neighbour: PeerName, message: StateMessage, isReachable: boolean): Outcome {
    const { origin, incarnation, part } = message;
    const { name, verify, set, absent, latest, equivocations } = this.#deps;
    const known = set.get(origin);
    if (known !== undefined && isSame(known.head, message)) return KNOWN;
    if (absent.wasForgotten(message) && !isReachable) return KNOWN;
    if (incarnation > latest()) return this.#reject("far-future", neighbour);
    if (absent.hasNoRoom(origin, neighbour)) return this.#reject("total-budget", neighbour);
    const isContinued = part !== undefined && part.number > 0;
    if (isContinued && !this.#assemblies.continues(neighbour, message)) return KNOWN;
    const identity = this.#identify(message, known);
    if (identity === undefined) {
      absent.isUnknown(origin, neighbour);
      return this.#reject("unknown-origin", neighbour);
    }
    const base = known?.identity === identity ? known : undefined;
    if (base !== undefined && compareHeads(message, base.head) < 0) {
      this.#reject("outdated", neighbour);
      return KNOWN;
    }
    if (equivocations.covers(origin, identity, incarnation)) return this.#reject("equivocation", neighbour);
    if (part === undefined) return this.#take(neighbour, message, identity, base);
    const head = { ...message, hash: part.hash };
    if (!isContinued && !isHeadBy(verify, identity, name, head)) return this.#reject("forged", neighbour);
    const complete = this.#assemblies.add(neighbour, message);
    return complete === undefined ? REJECTED : this.#take(neighbour, complete, identity, base);
  }

  /** Handles a proof against another origin. */
  proof(neighbour: PeerName, proof: Proof): Outcome {
    const { set, equivocations, name, identify, verify } = this.#deps;
    const { origin, incarnation } = proof.first;
    const known = set.get(origin);
    const identity = known?.identity ?? identify(origin, []);
    if (identity === undefined) return this.#reject("unknown-origin", neighbour);
    if (equivocations.covers(origin, identity, incarnation)) return KNOWN;
    if (!isProof(verify, identity, name, proof)) return this.#reject("forged", neighbour);
    equivocations.add(identity, proof);
    if (known !== undefined && known.head.incarnation <= incarnation) set.drop(origin);
    return { what: "proof", proof };
  }

  #identify(message: StateMessage, known: OriginState<F> | undefined): string | undefined {
    const { identify, codec } = this.#deps;
    const { origin, incarnation, since } = message;
    // Only all records of an origin can say who it is. A malformed one says nothing; it is rejected afterwards.
    if (since > 0 || known?.head.incarnation === incarnation) return identify(origin, []);
    try {
      return identify(
        origin,
        codec.entries(message, 0).map(({ record }) => record),
      );
    } catch {
      return identify(origin, []);
    }
  }

  #take(neighbour: PeerName, message: StateMessage, identity: string, base: OriginState<F> | undefined): Outcome {
    const { origin, incarnation, version, horizon, signature, since } = message;
    const isOfBase = base?.head.incarnation === incarnation;
    // Another signature of the version that is known: only all records show whether their content differs.
    const isRival = isOfBase && base.head.version === version;
    if (since > 0 && (isRival || !isOfBase)) return ask(message, 0);
    if (since > 0 && base!.head.version < Math.max(since, horizon)) return ask(message, base!.head.version);
    const { codec, name, verify } = this.#deps;
    let entries: readonly Entry<F>[];
    try {
      entries = codec.entries(message, since > 0 ? base!.head.version : 0, (key) => base?.records.get(key));
    } catch {
      return this.#reject("malformed", neighbour);
    }
    const records = since > 0 ? base!.records : new OriginRecords<F>();
    const trial = records.try(entries, horizon);
    const head: Head = { origin, incarnation, version, horizon, hash: trial.hash, signature };
    if (!isHeadBy(verify, identity, name, head)) {
      this.#reject("forged", neighbour);
      // If the origin has signed two contents of an earlier version, the records here are not those of the delta.
      return since > 0 ? ask(message, 0) : REJECTED;
    }
    if (isRival) return this.#rival(neighbour, base.head, head);
    if (!this.#hasRoom(origin, neighbour, trial.heap)) return REJECTED;
    const { set, absent } = this.#deps;
    absent.arrived(origin);
    if (since > 0) set.apply(origin, head, trial, neighbour);
    else {
      trial.apply();
      set.set(origin, { identity, head, records }, neighbour);
    }
    return { what: "news", state: message };
  }

  /** Handles a valid head with the version of the known one. */
  #rival(neighbour: PeerName, known: Head, rival: Head): Outcome {
    if (Buffer.compare(known.hash, rival.hash) !== 0 || known.horizon !== rival.horizon)
      return this.proof(neighbour, { first: known, second: rival });
    // One content, signed twice with different nonces: all peers keep the lower signature, so that summaries become equal.
    if (Buffer.compare(rival.signature, known.signature) < 0) this.#deps.set.setHead(rival.origin, rival);
    return KNOWN;
  }

  #hasRoom(origin: PeerName, neighbour: PeerName, heap: number): boolean {
    const { set, absent } = this.#deps;
    const { excess, dropped } = set.makeRoom(origin, neighbour, heap);
    for (const each of dropped) absent.hadNoRoom(each.origin, each.payer);
    if (excess === undefined) return true;
    absent.hadNoRoom(origin, neighbour);
    this.#reject(excess === "origin" ? "oversized" : `${excess}-budget`, neighbour);
    return false;
  }

  #reject(reason: RejectionReason, neighbour: PeerName): Outcome {
    this.#deps.rejections.add(reason, neighbour);
    return REJECTED;
  }
}

/** Asks for the changes of an origin after a version; 0 for all records. */
function ask({ origin, incarnation }: StateMessage, version: number): Outcome {
  return { what: "ask", origin: { origin, incarnation: version === 0 ? 0 : incarnation, version } };
}

/** Whether a state has the head that is known. */
function isSame(known: Head, { incarnation, version, signature }: StateMessage): boolean {
  return (
    known.incarnation === incarnation && known.version === version && Buffer.compare(known.signature, signature) === 0
  );
}
