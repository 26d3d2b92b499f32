import { LONGEST_DIAL_RETRY_MS } from "#mesh/dialling/schedule.js";
import { WeaveError } from "#src/errors.js";
import { limitSize } from "#src/limit-size.js";
import { hostOf } from "#src/net/host-port.js";

/** Reasons to refuse a connection; also labels of metrics. */
const REFUSAL_REASONS = [
  "busy",
  "carrier",
  "clock",
  "clone",
  "collision",
  "excluded",
  "handshake",
  "identity",
  "limit",
  "password",
  "protocol",
  "retired",
  "self",
  "unknown",
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** The error that refuses a connection. */
export class Refusal extends WeaveError {
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super("WEAVE_CONNECTION", message);
    this.reason = reason;
  }
}

/** Refused connections of one host, for one reason. */
export interface Refused {
  /** Address of the last one, `ip:port`. */
  readonly address: string;
  readonly reason: RefusalReason;
  readonly text: string;
  readonly count: number;
  /** Monotonic time of the last one, in milliseconds. */
  readonly at: number;
}

/** Maximum number of {@link Refused} entries: unauthenticated clients must fill neither memory nor the operator's screen. */
const REMEMBERED = 32;
/** Age at which a refusal is obsolete: a peer that still dials has repeated it, with a margin for a slow dial. */
export const REFUSAL_SHOWN_MS = LONGEST_DIAL_RETRY_MS + 6 * 60_000;

/** Inbound connections that this peer has refused, for status and metrics. */
export class Refusals {
  readonly counts: Record<RefusalReason, number> = Object.fromEntries(
    REFUSAL_REASONS.map((reason) => [reason, 0]),
  ) as Record<RefusalReason, number>;
  readonly #last = new Map<string, Refused>();

  /** Records a refusal. @param address of the other end, `ip:port` @param now monotonic milliseconds */
  note(address: string, { reason, message }: Refusal, now: number): void {
    this.counts[reason]++;
    const key = `${hostOf(address)} ${reason}`;
    const count = (this.#last.get(key)?.count ?? 0) + 1;
    this.#last.delete(key);
    this.#last.set(key, { address, reason, text: message, count, at: now });
    limitSize(this.#last, REMEMBERED);
  }

  /** Drops the refusals of a host, when a peer of it was admitted. */
  clear(host: string): void {
    for (const reason of REFUSAL_REASONS) this.#last.delete(`${host} ${reason}`);
  }

  /** Returns the recent refusals. @param now monotonic milliseconds */
  list(now: number): Refused[] {
    return [...this.#last.values()].filter(({ at }) => now - at < REFUSAL_SHOWN_MS);
  }
}
