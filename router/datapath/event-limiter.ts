import type { DatapathEvent } from "#router/datapath/protocol.js";

/** Minimum interval between two events of one kind. */
const EVENT_INTERVAL_MS = 1_000;
/** Maximum events "mac-learnt" in {@link MAC_INTERVAL_MS}. The limit is high, because the other threads must learn the MACs. */
const MACS_PER_INTERVAL = 256;
const MAC_INTERVAL_MS = 500;

/** Limits the events that packets from the network can cause: they must not flood the event loop. */
export class EventLimiter {
  readonly #deliver: (event: DatapathEvent) => void;
  readonly #others: boolean;
  readonly #lastAt = new Map<string, number>();
  #macs = 0;
  #macsSince = 0;

  /** @param others true: there are other threads, which learn MACs from this one */
  constructor(deliver: (event: DatapathEvent) => void, others: boolean) {
    this.#deliver = deliver;
    this.#others = others;
  }

  emit(event: DatapathEvent): void {
    switch (event.event) {
      case "mac-learnt":
        if (!this.#others || !this.#admitMac()) return;
        break;
      case "too-big":
      case "mac-moved":
      case "mac-refused":
      case "mac-held":
      case "mac-full":
      case "source-refused":
      case "fault": {
        const now = performance.now();
        if (now - (this.#lastAt.get(event.event) ?? Number.NEGATIVE_INFINITY) < EVENT_INTERVAL_MS) return;
        this.#lastAt.set(event.event, now);
      }
    }
    this.#deliver(event);
  }

  #admitMac(): boolean {
    const now = performance.now();
    if (now - this.#macsSince >= MAC_INTERVAL_MS) {
      this.#macsSince = now;
      this.#macs = 0;
    }
    return ++this.#macs <= MACS_PER_INTERVAL;
  }
}
