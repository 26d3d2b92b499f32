/** Pings that wait for an answer. More are lost: the oldest is not measured. */
const MAX_PINGS = 16;
/** Weight of a new sample (RFC 6298, section 2.3). */
const WEIGHT = 1 / 8;
/**
 * Age of the last answer, in milliseconds, from which there is no round trip: that of then says nothing of now. The end that pings has an
 * answer every few seconds; the other one sends pings of its own only while something is in doubt, or large frames flow.
 */
export const FRESH_MS = 30_000;

/**
 * Measures the round trip of a path by the pings of this end, smoothed as that of TCP (RFC 6298). Pure; times are in milliseconds on a
 * monotonic clock.
 */
export class RoundTrip {
  readonly #sent = new Map<number, number>();
  #smoothedMs = 0;
  #answeredAt = Number.NEGATIVE_INFINITY;

  /** The smoothed round trip; undefined without an answer within {@link FRESH_MS}. */
  smoothedMs(now: number): number | undefined {
    return now - this.#answeredAt < FRESH_MS ? this.#smoothedMs : undefined;
  }

  sent(id: number, now: number): void {
    if (this.#sent.size >= MAX_PINGS) this.#sent.delete(this.#sent.keys().next().value!);
    this.#sent.set(id, now);
  }

  /** Handles an answer. One to an unknown ping, or a second one, has no effect. */
  answered(id: number, now: number): void {
    const sentAt = this.#sent.get(id);
    if (sentAt === undefined) return;
    this.#sent.delete(id);
    const sample = now - sentAt;
    const before = this.smoothedMs(now) ?? sample;
    this.#smoothedMs = before + WEIGHT * (sample - before);
    this.#answeredAt = now;
  }

  /** The path is lost: an earlier round trip says nothing of it. */
  forget(): void {
    this.#sent.clear();
    this.#answeredAt = Number.NEGATIVE_INFINITY;
  }
}
