import type { Bootstrap } from "#ipam/agreement/bootstrap.js";
import type { OtherRanges } from "#ipam/agreement/other-ranges.js";
import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { Takeovers } from "#ipam/agreement/takeover.js";
import type { ContestedAddresses } from "#ipam/allocation/contested-addresses.js";
import type { Donors } from "#ipam/allocation/donors.js";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import type { WaitQueue } from "#ipam/allocation/wait-queue.js";
import type { Surroundings } from "#ipam/surroundings.js";

/** What an allocator is made of: each part has one concern, and `allocator.ts` puts them together. */
export interface Parts {
  readonly env: Surroundings;
  /** The ring, and what of it is ours. */
  readonly state: RingState;
  /** Who on this host holds what. */
  readonly leases: LeaseTable;
  /** What could not be done at once. */
  readonly waiting: WaitQueue;
  /** How the first ring comes to be. */
  readonly bootstrap: Bootstrap;
  /** Whom to ask for space. */
  readonly donors: Donors;
  /** `rmpeer`. */
  readonly takeovers: Takeovers;
  /** What is held here and belongs to others. */
  readonly contested: ContestedAddresses;
  /** Peers with another range. */
  readonly otherRanges: OtherRanges;
  /** What comes first after a start. */
  readonly ownershipCheck: OwnershipCheck;
}
