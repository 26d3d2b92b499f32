import type { ConnectionMaker, ConnectionView } from "#mesh/connection-maker.js";
import type { PeerName, PeerRecord } from "#mesh/peer.js";
import type { Dial, Wire } from "#mesh/transport.js";
import type { Clock, Timer } from "#src/clock.js";
import { textOf } from "#src/errors.js";
import type { Log } from "#src/log.js";

const DIAL_MS = 10_000;
/** What is due but barred (by the limit, say) waits for a change, or for this long: never a tight loop. */
const LEAST_WAIT_MS = 1_000;

export interface DiallerOptions {
  readonly maker: ConnectionMaker;
  readonly clock: Clock;
  readonly log: Log;
  readonly dial: Dial;
  readonly self: PeerName;
  readonly connections: () => readonly ConnectionView[];
  readonly records: () => readonly PeerRecord[];
  /** A dialled wire is open. */
  readonly opened: (wire: Wire, address: string) => void;
}

/** Carries out what the {@link ConnectionMaker} decides. */
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
    const { maker, clock, self, connections, records } = this.#options;
    const now = clock.now();
    for (const { address } of maker.due(now, connections(), records(), self)) void this.#dial(address);
    this.#timer?.cancel();
    const next = maker.nextAt();
    if (Number.isFinite(next)) this.#timer = clock.after(Math.max(LEAST_WAIT_MS, next - now), () => this.wake());
  }

  stop(): void {
    this.#stopping.abort();
    this.#timer?.cancel();
  }

  async #dial(address: string): Promise<void> {
    const { maker, clock, log, dial, opened } = this.#options;
    const attempt = new AbortController();
    const timer = clock.after(DIAL_MS, () => attempt.abort());
    try {
      const wire = await dial(address, AbortSignal.any([attempt.signal, this.#stopping.signal]));
      if (this.#stopping.signal.aborted) wire.close();
      else opened(wire, address);
    } catch (error) {
      const why = attempt.signal.aborted ? `dial tcp ${address}: timed out` : textOf(error);
      log.debug("dialling failed", { address, why });
      maker.failed(address, why, clock.now());
      this.wake();
    } finally {
      timer.cancel();
    }
  }
}
