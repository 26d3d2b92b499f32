import type { DialSchedule } from "#mesh/dialling/schedule.js";
import type { PeerName, PeerRecord } from "#mesh/peer.js";
import type { Dial, Resolve, Wire } from "#mesh/transport.js";
import type { Clock, Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import { withJoinedSignal } from "#src/joined-signal.js";
import type { Log } from "#src/log.js";
import { isAddress } from "#src/net/family.js";
import { hostOf, hostPortText, portOf } from "#src/net/host-port.js";
import { type Random, sample } from "#src/random.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** Limit for one dial, and for the resolution of a name. */
const DIAL_MS = 10_000;
/** Shortest delay until due attempts are checked again: they may be blocked, by the connection limit for example. */
const BLOCKED_PAUSE_MS = 1_000;
/** Shortest interval between two searches for due attempts: while many peers join, each connection and each route is a reason for one. */
const WAKE_MS = 50;

interface DiallerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly dial: Dial;
  readonly resolve: Resolve;
  /** Addresses of this host: they are not dialled when another peer reports them. */
  readonly ownAddresses: () => ReadonlySet<string>;
}

/** An open connection: what it shows of addresses that need not be dialled. */
interface OpenConnection {
  readonly wire: Pick<Wire, "remoteAddress">;
  readonly outbound: boolean;
  readonly dialled: string | undefined;
  readonly remote: { readonly name: PeerName } | undefined;
}

interface DiallerDeps {
  readonly schedule: DialSchedule;
  readonly neighbours: Iterable<OpenConnection>;
  readonly topology: { readonly self: PeerRecord; reachable(): PeerRecord[] };
  /** Called with each wire that a dial has opened. */
  readonly opened: (wire: Wire, address: string) => void;
}

/** Dials the addresses that the {@link DialSchedule} selects. The schedule contains the rules for retries. */
export class Dialler {
  readonly #options: DiallerOptions;
  readonly #deps: DiallerDeps;
  readonly #stopping = new AbortController();
  readonly #start: ThrottledTask;
  #timer: Timer | undefined;

  constructor(options: DiallerOptions, deps: DiallerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#start = new ThrottledTask(options.clock, WAKE_MS, () => this.#startDue());
  }

  /** Records that a dialled connection has opened. */
  succeeded(address: string, peer: PeerName): void {
    this.#deps.schedule.succeeded(address, peer);
  }

  /**
   * Records that a dial has failed, or a dialled connection has ended.
   *
   * @param found.peer the name of the other end, if known
   * @param found.never whether the address is never dialled again, because it is this peer's own
   */
  failed(address: string, why: string, found: { peer?: PeerName; never?: boolean } = {}): void {
    this.#deps.schedule.failed(address, why, this.#options.clock.now(), found);
  }

  /** Starts the due attempts. Must be called after each change that may make an attempt due. */
  wake(): void {
    if (!this.#stopping.signal.aborted) this.#start.request();
  }

  stop(): void {
    this.#stopping.abort();
    this.#start.cancel();
    this.#timer?.cancel();
  }

  #startDue(): void {
    const { schedule } = this.#deps;
    const { clock } = this.#options;
    const now = clock.now();
    for (const { address } of schedule.due(now, this.#context())) void this.#attempt(address);
    this.#timer?.cancel();
    const next = schedule.nextAt(now, BLOCKED_PAUSE_MS);
    // Whole milliseconds, rounded up: an attempt must be due when the timer fires.
    if (Number.isFinite(next)) this.#timer = clock.after(Math.floor(next - now) + 1, () => this.wake());
  }

  #context() {
    const { neighbours, topology } = this.#deps;
    return {
      connections: [...neighbours].map(({ wire, outbound, dialled, remote }) => ({
        remoteAddress: wire.remoteAddress,
        outbound,
        dialled,
        peer: remote!.name,
      })),
      records: topology.reachable(),
      self: topology.self.name,
      own: this.#options.ownAddresses,
    };
  }

  /** Resolves the target if it is a name, and dials its addresses in random order until one answers. */
  async #attempt(target: string): Promise<void> {
    const { log } = this.#options;
    log.debug("dialling", { address: target });
    try {
      const wire = await this.#dialAny(target, await this.#hostsOf(target));
      if (this.#stopping.signal.aborted) wire.terminate();
      else this.#deps.opened(wire, target);
    } catch (error) {
      const why = errorText(error);
      log.debug("dialling failed", { address: target, why });
      this.failed(target, why);
      this.wake();
    }
  }

  async #hostsOf(target: string): Promise<readonly string[]> {
    const host = hostOf(target);
    if (isAddress(host)) return [host];
    const hosts = await this.#within(`lookup ${host}`, () => this.#options.resolve(host));
    this.#deps.schedule.resolved(target, hosts);
    return hosts;
  }

  /** Dials hosts one after another. @throws the error of the last host */
  async #dialAny(target: string, hosts: readonly string[]): Promise<Wire> {
    const { random, dial } = this.#options;
    let failure: unknown;
    for (const host of sample(random, hosts, hosts.length)) {
      const address = hostPortText(host, portOf(target));
      try {
        return await this.#within(`dial tcp ${address}`, (signal) => dial(address, signal));
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Runs `run` with a time limit. @throws the error of `run`; WEAVE_CONNECTION after {@link DIAL_MS} */
  async #within<T>(what: string, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const [late, over] = [new AbortController(), new AbortController()];
    const timeout = new Promise<never>((_, reject) => {
      const timer = this.#options.clock.after(DIAL_MS, () => {
        reject(new WeaveError("WEAVE_CONNECTION", `${what}: timed out`));
        late.abort();
      });
      over.signal.addEventListener("abort", () => timer.cancel());
    });
    timeout.catch(() => {});
    try {
      return await Promise.race([withJoinedSignal([late.signal, this.#stopping.signal], run), timeout]);
    } finally {
      over.abort();
    }
  }
}
