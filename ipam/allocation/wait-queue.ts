import { durationText, type Reason } from "#ipam/ring/reason.js";
import type { Clock, Timer } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";

export interface WaitOptions {
  /** Ends the wait; the promise is rejected with WEAVE_CANCELLED. */
  readonly signal?: AbortSignal;
  /** Milliseconds until the promise is rejected with WEAVE_IPAM_WAIT and the reason; no limit by default. */
  readonly timeoutMs?: number;
}

export type WaitKind = "prime" | "claim" | "allocate";
/** Order of retries: requests that need only a ring, then those for a certain address, then those for any address. */
const ORDER: readonly WaitKind[] = ["prime", "claim", "allocate"];

/** A blocked request. */
export interface Waiter {
  readonly kind: WaitKind;
  readonly ident: string;
  /** The requested address or subnet, or "". */
  readonly subject: string;
  /** On the clock. */
  readonly since: number;
  reason(): Reason;
}

interface Entry extends Waiter {
  /** True: done. An error ends the wait. */
  attempt(): boolean;
  end(error: unknown): void;
}

/** Limit for faulty clients. */
const MAX_WAITERS = 4_096;

/** Requests that wait for the ring, for space, or for another peer's answer. All are retried on every change. */
export class WaitQueue {
  readonly #clock: Clock;
  readonly #entries = new Set<Entry>();
  #running = false;
  #again = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly Waiter[] {
    return [...this.#entries];
  }

  /**
   * Attempts a request now, and again on each {@link retry} until it is done.
   *
   * @param attempt returns undefined while the request must wait; an error ends the wait
   * @throws WEAVE_CANCELLED, WEAVE_IPAM_WAIT, and the errors of `attempt`
   */
  run<T>(
    what: Pick<Waiter, "kind" | "ident" | "subject" | "reason"> & { attempt(): T | undefined },
    { signal, timeoutMs }: WaitOptions,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) throw cancelled(what.ident);
      const value = what.attempt();
      if (value !== undefined) return resolve(value);
      if (this.#entries.size >= MAX_WAITERS)
        throw new WeaveError("WEAVE_IPAM_WAIT", `more than ${MAX_WAITERS} requests wait for addresses already`);
      let timer: Timer | undefined;
      const onAbort = () => entry.end(cancelled(what.ident));
      const finish = () => {
        this.#entries.delete(entry);
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
      };
      const entry: Entry = {
        ...what,
        since: this.#clock.now(),
        attempt: () => {
          const value = what.attempt();
          if (value === undefined) return false;
          finish();
          resolve(value);
          return true;
        },
        end: (error) => {
          finish();
          reject(error);
        },
      };
      if (timeoutMs !== undefined) timer = this.#clock.after(timeoutMs, () => entry.end(this.#timeout(entry)));
      signal?.addEventListener("abort", onAbort);
      this.#entries.add(entry);
    });
  }

  /** Attempts all waiting requests. */
  retry(): void {
    // An attempt may change something and so call this again: that is one more turn, not a nested one.
    this.#again = this.#running;
    if (this.#running) return;
    this.#running = true;
    try {
      do {
        this.#again = false;
        for (const kind of ORDER) for (const entry of this.#entries) if (entry.kind === kind) attempt(entry);
      } while (this.#again);
    } finally {
      this.#running = false;
    }
  }

  /** Ends the waits of one container, or all waits. */
  cancel(why: string, ident?: string): void {
    for (const entry of [...this.#entries])
      if (ident === undefined || entry.ident === ident)
        entry.end(new WeaveError("WEAVE_CANCELLED", `${subjectText(entry)}: ${why}`));
  }

  #timeout(entry: Entry): WeaveError {
    const { why, next } = entry.reason();
    const waited = durationText(this.#clock.now() - entry.since);
    return new WeaveError("WEAVE_IPAM_WAIT", `${subjectText(entry)}: after ${waited} it still waits for ${why}`, {
      next,
    });
  }
}

function attempt(entry: Entry): void {
  try {
    entry.attempt();
  } catch (error) {
    entry.end(error);
  }
}

const cancelled = (ident: string): WeaveError => new WeaveError("WEAVE_CANCELLED", `${ident}: cancelled`);

/** `allocate for ID in 10.32.0.0/12` */
export function subjectText({ kind, ident, subject }: Waiter): string {
  if (kind === "prime") return "prime";
  return kind === "claim" ? `claim of ${subject} for ${ident}` : `allocation for ${ident} in ${subject}`;
}
