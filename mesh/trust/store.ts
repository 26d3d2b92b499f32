import type { PeerName } from "#mesh/peer.js";
import type { Exclusion } from "#mesh/trust/exclusions.js";
import type { Pin } from "#mesh/trust/pins.js";
import type { Retirement } from "#mesh/trust/retirement.js";
import type { Clock } from "#src/clock.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** All that survives a restart. */
export interface TrustState {
  readonly pins: readonly Pin[];
  readonly excluded: readonly Exclusion[];
  readonly retired: readonly Retirement[];
}

/** Changes of a {@link TrustState}: of pins those that have changed (undefined: removed), the lists as a whole. */
interface TrustChanges {
  readonly pins: ReadonlyMap<PeerName, Pin | undefined>;
  readonly excluded?: readonly Exclusion[];
  readonly retired?: readonly Retirement[];
}

/** Where a `Trust` is kept. */
export interface TrustStore {
  load(): TrustState;
  /** Stores changes in one step. */
  save(changes: TrustChanges): void;
}

/** Interval between two writes of pins. A pin that a crash loses is made again at the next sight. Each write waits for the disk. */
const WRITE_MS = 5_000;
/** Number of pins in one write: invented peers must not keep the disk busy. */
const PINS_A_WRITE = 256;

/** Writes changes to a {@link TrustStore}: pins together after a while, lists at once. */
export class TrustWriter {
  readonly #store: TrustStore;
  readonly #pinOf: (name: PeerName) => Pin | undefined;
  readonly #changed = new Set<PeerName>();
  readonly #writing: ThrottledTask;

  constructor(store: TrustStore, clock: Clock, pinOf: (name: PeerName) => Pin | undefined) {
    this.#store = store;
    this.#pinOf = pinOf;
    this.#writing = new ThrottledTask(clock, WRITE_MS, () => this.#write());
  }

  /** The pins of these names have changed. */
  pinsChanged(names: readonly PeerName[]): void {
    for (const name of names) this.#changed.add(name);
    if (names.length > 0) this.#writing.request();
  }

  /** Writes lists at once: after a crash an excluded peer must not be trusted again. */
  save(lists: Pick<TrustChanges, "excluded" | "retired">): void {
    this.#store.save({ pins: new Map(), ...lists });
  }

  /** Writes what is not written yet. */
  flush(): void {
    while (this.#changed.size > 0) this.#write();
    this.#writing.cancel();
  }

  #write(): void {
    const names = [...this.#changed].slice(0, PINS_A_WRITE);
    if (names.length === 0) return;
    const pins = new Map(names.map((name) => [name, this.#pinOf(name)]));
    for (const name of names) this.#changed.delete(name);
    this.#store.save({ pins });
    if (this.#changed.size > 0) this.#writing.request();
  }
}

/** Keeps a `Trust` in memory. */
export function memoryTrustStore(): TrustStore {
  let state: TrustState = { pins: [], excluded: [], retired: [] };
  return {
    load: () => state,
    save({ pins, excluded = state.excluded, retired = state.retired }) {
      const kept = state.pins.filter(({ name }) => !pins.has(name));
      state = { pins: [...kept, ...[...pins.values()].filter((pin) => pin !== undefined)], excluded, retired };
    },
  };
}
