import type { DatapathEvent } from "#router/datapath/protocol.js";

/** One event of a kind is reported in this time. */
const EVENT_INTERVAL_MS = 1_000;
/** MACs are exempt, because the other threads must learn them, but no more than this many in an interval. */
const MACS_PER_INTERVAL = 256;
const MAC_INTERVAL_MS = 500;

/** Limits the events of a thread: the network must not be able to flood the event loop. */
export class EventLimiter {
  readonly #deliver: (event: DatapathEvent) => void;
  readonly #others: boolean;
  readonly #lastAt = new Map<string, number>();
  #macs = 0;
  #macsSince = 0;

  /** @param others there are other threads, which learn MACs from this one */
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
