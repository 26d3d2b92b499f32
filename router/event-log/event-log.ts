import type { NetworkEvent } from "#router/event-log/event.js";
import type { Emitter } from "#src/emitter.js";

/** The events of this host, and those that other peers have announced, as its readers see them. */
export interface EventLog {
  /** Emits each new event, in the order in which this host came to know of them. */
  readonly changes: Emitter<{ event: [event: NetworkEvent] }>;
  /** Returns the last events of this host and of the mesh, oldest first. */
  recent(limit: number): readonly NetworkEvent[];
}
