import type { PeerName } from "#mesh/peer.js";
import { isProof, type Proof } from "#mesh/replica/equivocations.js";
import { isHeadBy } from "#mesh/replica/head.js";
import { OriginRecords } from "#mesh/replica/origin-records.js";
import type { OwnRecords } from "#mesh/replica/own-records.js";
import type { RecordCodec } from "#mesh/replica/record-codec.js";
import type { RecordRejections, RejectionReason } from "#mesh/replica/rejections.js";
import type { StateMessage } from "#mesh/replica/replica-message.js";
import type { Outcome } from "#mesh/replica/state-receiver.js";
import type { Verify } from "#mesh/signing.js";

export interface OwnReceiverDeps<F extends object> {
  /** Name of the set. */
  readonly name: string;
  readonly identity: string;
  readonly own: OwnRecords<F>;
  readonly codec: RecordCodec<F>;
  readonly rejections: RecordRejections;
  readonly verify: Verify;
  /** Returns the highest plausible incarnation. */
  readonly latest: () => number;
  /** Called when a higher incarnation has begun. */
  readonly outlived: () => void;
}

const KNOWN: Outcome = { what: "known" };
const REJECTED: Outcome = { what: "rejected" };

/**
 * Handles what neighbours send about this peer itself. It is known, or forged, or one of its own states that this process has not
 * made: from before the clock was set back, or the disk or memory was restored. A higher incarnation then replaces it.
 */
export class OwnReceiver<F extends object> {
  readonly #deps: OwnReceiverDeps<F>;

  constructor(deps: OwnReceiverDeps<F>) {
    this.#deps = deps;
  }

  state(neighbour: PeerName, message: StateMessage): Outcome {
    const { own, identity, name, verify } = this.#deps;
    const { origin, incarnation, version, since, signature, part } = message;
    const head = own.head();
    const order = incarnation - head.incarnation || version - head.version;
    if (order === 0 && Buffer.compare(head.signature, signature) === 0) return KNOWN;
    if (order < 0) {
      this.#reject("outdated", neighbour);
      return KNOWN;
    }
    // Only all records show what was signed.
    if (since > 0) return { what: "ask", origin: { origin, incarnation: 0, version: 0 } };
    const hash = part?.hash ?? this.#hashOf(message);
    if (hash === undefined) return this.#reject("malformed", neighbour);
    if (!isHeadBy(verify, identity, name, { ...message, hash })) return this.#reject("forged", neighbour);
    return own.isForeign({ ...message, hash }) ? this.#outlive(incarnation, neighbour) : KNOWN;
  }

  proof(neighbour: PeerName, proof: Proof): Outcome {
    const { own, identity, name, verify } = this.#deps;
    const { incarnation } = proof.first;
    if (incarnation < own.incarnation) return KNOWN;
    return isProof(verify, identity, name, proof)
      ? this.#outlive(incarnation, neighbour)
      : this.#reject("forged", neighbour);
  }

  #outlive(incarnation: number, neighbour: PeerName): Outcome {
    const { own, latest, outlived } = this.#deps;
    if (incarnation > latest()) return this.#reject("far-future", neighbour);
    if (own.outlive(incarnation)) outlived();
    return REJECTED;
  }

  #hashOf(message: StateMessage): Uint8Array | undefined {
    try {
      return new OriginRecords<F>().try(this.#deps.codec.entries(message, 0), message.horizon).hash;
    } catch {
      return undefined;
    }
  }

  #reject(reason: RejectionReason, neighbour: PeerName): Outcome {
    this.#deps.rejections.add(reason, neighbour);
    return REJECTED;
  }
}
