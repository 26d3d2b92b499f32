import type { Bootstrap } from "#ipam/bootstrap.js";
import type { ContestedAddresses } from "#ipam/contested.js";
import type { Donors } from "#ipam/donors.js";
import type { Holdings } from "#ipam/holdings.js";
import type { RingState } from "#ipam/ring-state.js";
import type { Rivals } from "#ipam/rivals.js";
import type { RollCall } from "#ipam/roll-call.js";
import type { Surroundings } from "#ipam/surroundings.js";
import type { Takeovers } from "#ipam/takeover.js";
import type { Waiting } from "#ipam/waiting.js";

/** What an allocator is made of: each part has one concern, and `allocator.ts` puts them together. */
export interface Parts {
  readonly env: Surroundings;
  /** The ring, and what of it is ours. */
  readonly state: RingState;
  /** Who on this host holds what. */
  readonly holdings: Holdings;
  /** What could not be done at once. */
  readonly waiting: Waiting;
  /** How the first ring comes to be. */
  readonly bootstrap: Bootstrap;
  /** Whom to ask for space. */
  readonly donors: Donors;
  /** `rmpeer`. */
  readonly takeovers: Takeovers;
  /** What is held here and belongs to others. */
  readonly contested: ContestedAddresses;
  /** Peers with another range. */
  readonly rivals: Rivals;
  /** What comes first after a start. */
  readonly rollCall: RollCall;
}
