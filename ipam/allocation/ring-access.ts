import type { Bootstrap } from "#ipam/agreement/bootstrap.js";
import type { OtherRanges } from "#ipam/agreement/other-ranges.js";
import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { Ring } from "#ipam/ring/ring.js";
import { ringSummary } from "#ipam/wire/ipam-message.js";
import { WeaveError } from "#src/errors.js";

export interface RingAccessDeps {
  readonly state: RingState;
  readonly otherRanges: OtherRanges;
  readonly bootstrap: Bootstrap;
  readonly ownershipCheck: OwnershipCheck;
}

/** The condition of every allocation: there is a ring, this peer's spans are confirmed, and the peer has not left. */
export class RingAccess {
  readonly #deps: RingAccessDeps;
  #closed = false;

  constructor(deps: RingAccessDeps) {
    this.#deps = deps;
  }

  /**
   * Returns the ring if this peer may allocate from it now; undefined if the request must wait. Requests the first ring if there is
   * none.
   *
   * @throws WEAVE_CANCELLED after {@link close}; WEAVE_IPAM_RANGE when another peer's range wins against this one
   */
  ready(): Ring | undefined {
    const { state, otherRanges, bootstrap, ownershipCheck } = this.#deps;
    if (this.#closed) throw new WeaveError("WEAVE_CANCELLED", "this peer has left the network ('weave reset')");
    otherRanges.check(ringSummary(state.ring));
    if (state.ring === undefined) {
      bootstrap.request();
      // With a list of peers (seed) the ring is made immediately.
      return state.ring;
    }
    return ownershipCheck.running ? undefined : state.ring;
  }

  /** Makes {@link ready} reject every request, because this peer leaves the network. */
  close(): void {
    this.#closed = true;
  }
}
