import type { PeerName } from "#mesh/peer.js";
import type { ProbeFacts } from "#router/probes/host-facts.js";
import type { Locator } from "#router/probes/locator.js";
import type { Prober } from "#router/probes/prober.js";
import type { Tracer } from "#router/probes/tracer.js";

/** Probes by the path of frames, and questions about it between the routers. */
export interface Probes {
  readonly self: PeerName;
  readonly prober: Prober;
  readonly facts: ProbeFacts;
  readonly locator: Locator;
  readonly tracer: Tracer;
  /** Nickname of a peer; "" for an unknown one. */
  nickname(peer: PeerName): string;
}
