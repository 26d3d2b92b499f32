import type { DialContext, DialSchedule } from "#mesh/dial-schedule.js";
import type { Dial, Resolve, Wire } from "#mesh/transport.js";
import { isIpv4 } from "#src/address.js";
import type { Clock, Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { hostOf, portOf } from "#src/net/host-port.js";
import { type Random, sample } from "#src/random.js";

/** For each address of a name, and for its resolution. */
const DIAL_MS = 10_000;
/** What is due but barred (by the limit, say) waits for a change, or for this long: never a tight loop. */
const LEAST_WAIT_MS = 1_000;

export interface DiallerOptions {
  readonly maker: DialSchedule;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly dial: Dial;
  readonly resolve: Resolve;
  readonly situation: () => DialContext;
  /** A dialled wire is open. */
  readonly opened: (wire: Wire, address: string) => void;
}

/** Carries out what the {@link DialSchedule} decides. */
export class Dialler {
  readonly #options: DiallerOptions;
  readonly #stopping = new AbortController();
  #timer: Timer | undefined;

  constructor(options: DiallerOptions) {
    this.#options = options;
  }

  /** To be called after every change that may make something due. */
  wake(): void {
    if (this.#stopping.signal.aborted) return;
    const { maker, clock, situation } = this.#options;
    const now = clock.now();
    for (const { address } of maker.due(now, situation())) void this.#attempt(address);
    this.#timer?.cancel();
    const next = maker.nextAt();
    if (Number.isFinite(next)) this.#timer = clock.after(Math.max(LEAST_WAIT_MS, next - now), () => this.wake());
  }

  stop(): void {
    this.#stopping.abort();
    this.#timer?.cancel();
  }

  /** Resolves the name if it is one, and dials its addresses, in random order, until one answers. */
  async #attempt(target: string): Promise<void> {
    const { maker, clock, log, random, resolve, opened } = this.#options;
    const host = hostOf(target);
    log.debug("dialling", { address: target });
    try {
      let hosts: readonly string[] = [host];
      if (!isIpv4(host)) {
        hosts = await this.#within(`lookup ${host}`, () => resolve(host));
        maker.resolved(target, hosts);
      }
      let failure: unknown;
      for (const each of sample(random, hosts, hosts.length)) {
        const address = `${each}:${portOf(target)}`;
        try {
          const wire = await this.#within(`dial tcp ${address}`, (signal) => this.#options.dial(address, signal));
          if (this.#stopping.signal.aborted) wire.terminate();
          else opened(wire, target);
          return;
        } catch (error) {
          failure = error;
        }
      }
      throw failure;
    } catch (error) {
      const why = errorText(error);
      log.debug("dialling failed", { address: target, why });
      maker.failed(target, why, clock.now());
      this.wake();
    }
  }

  /** @throws what `run` throws; WEAVE_CONNECTION when it takes too long */
  async #within<T>(what: string, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    let late: () => void = () => {};
    const timeout = new Promise<never>((_, reject) => {
      late = () => reject(new WeaveError("WEAVE_CONNECTION", `${what}: timed out`));
    });
    timeout.catch(() => {});
    const timer = this.#options.clock.after(DIAL_MS, () => {
      late();
      abort.abort();
    });
    try {
      return await Promise.race([run(AbortSignal.any([abort.signal, this.#stopping.signal])), timeout]);
    } finally {
      timer.cancel();
    }
  }
}
