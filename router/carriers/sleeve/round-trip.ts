/** Pings that wait for an answer. More are lost: the oldest is not measured. */
const MAX_PINGS = 16;
/** Weight of a new sample (RFC 6298, section 2.3). */
const WEIGHT = 1 / 8;

/** Measures the round trip of a path by its pings, smoothed as that of TCP (RFC 6298). Pure; times are in milliseconds. */
export class RoundTrip {
  readonly #sent = new Map<number, number>();
  #smoothedMs: number | undefined;

  /** The smoothed round trip; undefined before the first answer. */
  get smoothedMs(): number | undefined {
    return this.#smoothedMs;
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
    this.#smoothedMs =
      this.#smoothedMs === undefined ? sample : this.#smoothedMs + WEIGHT * (sample - this.#smoothedMs);
  }

  /** The path is lost: an earlier round trip says nothing of it. */
  forget(): void {
    this.#sent.clear();
    this.#smoothedMs = undefined;
  }
}
