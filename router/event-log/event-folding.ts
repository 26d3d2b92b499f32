import type { EventDraft } from "#router/event-log/event.js";
import type { Clock, Timer } from "#src/clock.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Events of one kind and subject that pass at once, and after that. */
const EQUAL = { burst: 3, perSecond: 1 / 60 };
/** Events of one kind: a start in a network of 200 peers passes at once. */
const KIND = { burst: 200, perSecond: 0.5 };
/** Interval at which events that were held back are reported as one. */
const REPORT_AFTER_MS = 60_000;
/** Subjects that are held back one by one; the events of others are counted by their kind. */
const MAX_HELD = 128;

interface Held {
  readonly draft: EventDraft;
  count: number;
}

/**
 * Holds repeated events back: a link that flaps, or a client that provokes refusals, must fill neither disk nor screen. The first
 * events of a kind and subject pass, later ones become one in a minute, with their number.
 */
export class EventFolding {
  readonly #clock: Clock;
  readonly #pass: (draft: EventDraft) => void;
  readonly #equal: RateLimiter;
  readonly #kinds: RateLimiter;
  readonly #held = new Map<string, Held>();
  readonly #heldOfKind = new Map<string, Held>();
  #timer: Timer | undefined;
  #folded = 0;

  /** @param pass called with each event that passes, and with those that stand for several */
  constructor(clock: Clock, pass: (draft: EventDraft) => void) {
    this.#clock = clock;
    this.#pass = pass;
    this.#equal = new RateLimiter(clock, EQUAL);
    this.#kinds = new RateLimiter(clock, KIND);
  }

  /** Number of events that were not reported one by one. */
  get folded(): number {
    return this.#folded;
  }

  add(draft: EventDraft): void {
    const { kind, subject } = draft;
    const key = `${kind} ${subject}`;
    const isRare = this.#equal.admit(key);
    if (isRare && this.#kinds.admit(kind)) return this.#pass(draft);
    this.#folded++;
    if (!isRare && (this.#held.has(key) || this.#held.size < MAX_HELD)) hold(this.#held, key, draft);
    else hold(this.#heldOfKind, kind, draft);
    this.#timer ??= this.#clock.after(REPORT_AFTER_MS, () => this.flush());
  }

  /** Reports what was held back. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const [equal, others] = [[...this.#held.values()], [...this.#heldOfKind.values()]];
    this.#held.clear();
    this.#heldOfKind.clear();
    for (const { draft, count } of equal)
      this.#pass(count === 1 ? draft : { ...draft, text: `${count} times: ${draft.text}` });
    for (const { draft, count } of others)
      this.#pass({ ...draft, subject: "", text: `${count} more of this kind, the last: ${draft.text}` });
  }
}

/** Counts a draft; the last one of a key stands for all. */
function hold(held: Map<string, Held>, key: string, draft: EventDraft): void {
  held.set(key, { draft, count: (held.get(key)?.count ?? 0) + 1 });
}
