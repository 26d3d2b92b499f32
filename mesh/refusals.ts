import { WeaveError } from "#src/errors.js";
import { hostOf } from "#src/net/host-port.js";

/** Why a connection was refused; the label of counters. */
export const REFUSAL_REASONS = [
  "busy",
  "carrier",
  "clock",
  "collision",
  "handshake",
  "limit",
  "password",
  "protocol",
  "self",
  "unknown",
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** One end refuses the connection. */
export class Refusal extends WeaveError {
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super("WEAVE_CONNECTION", message);
    this.reason = reason;
  }
}

/** Refused connections of one host, for one reason. */
export interface Refused {
  /** Of the last one, `ip:port`. */
  readonly address: string;
  readonly reason: RefusalReason;
  readonly text: string;
  readonly count: number;
  /** Of the last one: monotonic milliseconds. */
  readonly at: number;
}

/** Unauthenticated clients must not fill our memory, nor the operator's screen: only the latest refusals are kept. */
const REMEMBERED = 32;
/** Peers retry after nine minutes at most: a refusal that was not repeated for longer is obsolete. */
const SHOWN_MS = 15 * 60_000;

/** Inbound connections that this end refused, for its operator. */
export class Refusals {
  readonly counts: Record<RefusalReason, number> = Object.fromEntries(
    REFUSAL_REASONS.map((reason) => [reason, 0]),
  ) as Record<RefusalReason, number>;
  readonly #last = new Map<string, Refused>();

  note(address: string, { reason, message }: Refusal, now: number): void {
    this.counts[reason]++;
    const key = `${hostOf(address)} ${reason}`;
    const count = (this.#last.get(key)?.count ?? 0) + 1;
    this.#last.delete(key);
    this.#last.set(key, { address, reason, text: message, count, at: now });
    if (this.#last.size > REMEMBERED) this.#last.delete(this.#last.keys().next().value as string);
  }

  /** A peer at that host was admitted: its earlier refusals are dropped. */
  clear(host: string): void {
    for (const reason of REFUSAL_REASONS) this.#last.delete(`${host} ${reason}`);
  }

  list(now: number): Refused[] {
    return [...this.#last.values()].filter(({ at }) => now - at < SHOWN_MS);
  }
}
