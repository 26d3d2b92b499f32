import { type CarrierSpeeds, keepSpeeds, keptSpeeds, speedsText } from "#router/carriers/fastdp/carrier-speeds.js";
import type { Clock, Timer } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Store } from "#src/store.js";

/** Time from the start until the measurement, which must not compete with it. */
export const MEASURE_AFTER_MS = 2_000;
/** Time until another attempt after one that has failed: a busy host may have been the reason. */
export const MEASURE_AGAIN_MS = 300_000;

export interface HostSpeedsDeps {
  /** Ends with an error soon after an abort. */
  readonly measure: (signal: AbortSignal) => Promise<CarrierSpeeds>;
  readonly store: Pick<Store, "get" | "put">;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * How fast this host carries encrypted frames by the kernel and by sleeve: measured once for each kernel and processor, and kept. An attempt
 * that fails is repeated.
 */
export class HostSpeeds {
  readonly #deps: HostSpeedsDeps;
  #timer: Timer | undefined;
  #measuring: Promise<void> | undefined;
  #known: CarrierSpeeds | undefined;
  #failure: string | undefined;
  readonly #end = new AbortController();

  constructor(deps: HostSpeedsDeps) {
    this.#deps = deps;
  }

  /** Undefined: not measured yet, or in vain. */
  get known(): CarrierSpeeds | undefined {
    return this.#known;
  }

  /** For status: what was measured, or why it is not. */
  get text(): string {
    if (this.#known !== undefined) return `measured: ${speedsText(this.#known)}`;
    return this.#failure === undefined ? "not measured yet" : `cannot be measured: ${this.#failure}`;
  }

  /** Takes what an earlier start has measured, or measures in a moment. @param found called once, with the result */
  start(found: (speeds: CarrierSpeeds) => void): void {
    const { store } = this.#deps;
    this.#known = keptSpeeds(store);
    if (this.#known !== undefined) return found(this.#known);
    this.#measureAfter(MEASURE_AFTER_MS, found);
  }

  /** Ends the measurement. Resolves when it has closed what it had opened. */
  async stop(): Promise<void> {
    this.#end.abort();
    this.#timer?.cancel();
    await this.#measuring;
  }

  #measureAfter(ms: number, found: (speeds: CarrierSpeeds) => void): void {
    this.#timer = this.#deps.clock.after(ms, () => {
      this.#measuring = this.#measure(found);
    });
  }

  async #measure(found: (speeds: CarrierSpeeds) => void): Promise<void> {
    const { measure, store, log } = this.#deps;
    try {
      const speeds = await measure(this.#end.signal);
      if (this.#end.signal.aborted) return;
      if (!(speeds.wireguard > 0 && speeds.sleeve > 0)) throw new Error("all packets of the measurement were lost");
      this.#known = speeds;
      keepSpeeds(store, speeds);
      log.info("the speed of encrypted frames is measured", { found: speedsText(speeds) });
      found(speeds);
    } catch (error) {
      if (this.#end.signal.aborted) return;
      const why = errorText(error);
      if (why !== this.#failure)
        log.warn("the speed of encrypted frames cannot be measured: sleeve is preferred", { why });
      this.#failure = why;
      this.#measureAfter(MEASURE_AGAIN_MS, found);
    }
  }
}
