import { type Engine, EngineError } from "#docker/engine/engine.js";
import { type ListedNetwork, listedNetwork } from "#docker/services/listed-service.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Delays after a change on this host at which the engine's list is read: a task is listed a while after its container has started. */
export const AFTER_OWN_MS: readonly number[] = [0, 100, 300, 1_000, 3_000];
/** The same after a change on another host, of which the engine learns by its own gossip. */
export const AFTER_OTHERS_MS: readonly number[] = [300, 1_000, 3_000];
/** Interval of further reads: tasks on hosts whose router does not publish them are known to the engine alone. */
const POLL_MS = 10_000;

export interface NetworkListsDeps {
  readonly engine: Engine;
  /** The networks in use. */
  readonly networks: () => ReadonlySet<string>;
  /** Called after each read. */
  readonly onRead: () => void;
  readonly log: Log;
}

/** Reads of one network. */
interface Reads {
  /** Pending reads, by the delays that they belong to. */
  readonly timers: Map<readonly number[], NodeJS.Timeout[]>;
  isReading: boolean;
  isWanted: boolean;
}

/** The engine's last list of the services of each network in use. */
export class NetworkLists {
  readonly #deps: NetworkListsDeps;
  readonly #lists = new Map<string, ListedNetwork>();
  readonly #reads = new Map<string, Reads>();
  readonly #poll: NodeJS.Timeout;

  constructor(deps: NetworkListsDeps) {
    this.#deps = deps;
    this.#poll = setInterval(() => this.readAll(), POLL_MS).unref();
  }

  /** Undefined before the first read. */
  get(network: string): ListedNetwork | undefined {
    return this.#lists.get(network);
  }

  get all(): Iterable<[network: string, list: ListedNetwork]> {
    return this.#lists;
  }

  /** Reads the lists of all networks in use now, and drops those of others. */
  readAll(): void {
    const networks = this.#deps.networks();
    for (const network of this.#lists.keys()) if (!networks.has(network)) this.#lists.delete(network);
    for (const [network, { isReading }] of this.#reads)
      if (!isReading && !networks.has(network)) {
        this.#cancel(network);
        this.#reads.delete(network);
      }
    for (const network of networks) void this.#read(network);
  }

  /** Reads the list of a network after each of these delays, in place of reads that are pending with the same delays. */
  readAfter(network: string, delays: readonly number[]): void {
    const { timers } = this.#readsOf(network);
    for (const timer of timers.get(delays) ?? []) clearTimeout(timer);
    timers.set(
      delays,
      delays.map((ms) => setTimeout(() => void this.#read(network), ms).unref()),
    );
  }

  stop(): void {
    clearInterval(this.#poll);
    for (const network of this.#reads.keys()) this.#cancel(network);
  }

  #cancel(network: string): void {
    for (const timers of this.#readsOf(network).timers.values()) for (const timer of timers) clearTimeout(timer);
  }

  #readsOf(network: string): Reads {
    const reads = this.#reads.get(network) ?? { timers: new Map(), isReading: false, isWanted: false };
    this.#reads.set(network, reads);
    return reads;
  }

  /** Reads the list of a network, and once more if that is requested meanwhile. Never rejects. */
  async #read(network: string): Promise<void> {
    const { engine, networks, onRead, log } = this.#deps;
    const reads = this.#readsOf(network);
    reads.isWanted = true;
    if (reads.isReading) return;
    reads.isReading = true;
    while (reads.isWanted) {
      reads.isWanted = false;
      try {
        const list = listedNetwork(await engine.networkServices(network));
        if (networks().has(network)) this.#lists.set(network, list);
        else this.#lists.delete(network);
      } catch (error) {
        if (error instanceof EngineError && error.status === 404) this.#lists.delete(network);
        log.debug("the services of a network could not be read", { network, why: errorText(error) });
      }
    }
    reads.isReading = false;
    onRead();
  }
}
