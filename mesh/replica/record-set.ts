import type { PeerName } from "#mesh/peer.js";
import type { Head } from "#mesh/replica/head.js";
import type { BudgetShare, Excess } from "#mesh/replica/memory-budget.js";
import type { Entry, OriginRecords, Trial } from "#mesh/replica/origin-records.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import type { RecordIndex } from "#mesh/replica/record-index.js";

/** The records of one origin, and what it said of them. */
export interface OriginState<F> {
  /** The key that signs the head. */
  readonly identity: string;
  readonly head: Head;
  readonly records: OriginRecords<F>;
}

/** A change of the live records of an origin. */
export interface Change<F> {
  readonly origin: PeerName;
  readonly added: readonly Versioned<F>[];
  readonly removed: readonly Versioned<F>[];
}

export interface RecordSetOptions<F> {
  readonly budget: BudgetShare;
  /** Indexes that the set updates with the live records. */
  readonly indexes?: readonly RecordIndex<F>[];
  /** Called after each change. */
  readonly onChange?: (change: Change<F>) => void;
}

/** An origin that was dropped, and the neighbour that it was charged to. */
export interface Dropped {
  readonly origin: PeerName;
  readonly payer: PeerName;
}

/** Estimated memory of an origin beside its records: maps, head, and entries in other tables. */
const ORIGIN_HEAP_BYTES = 2_048;
/** Size up to which origins keep their records in favour of larger ones when memory is short. */
const FAIR_BYTES = 256 << 10;

/**
 * The states of all origins. Of each origin the set has one state at a time: that of its latest head. The caller has
 * checked that the records belong to the head, and that the origin has signed it.
 */
export class RecordSet<F> {
  readonly #options: RecordSetOptions<F>;
  /** In the order in which they became known. */
  readonly #origins = new Map<PeerName, OriginState<F>>();
  #live = 0;
  #revision = 0;

  constructor(options: RecordSetOptions<F>) {
    this.#options = options;
  }

  /** Number of live records. */
  get size(): number {
    return this.#live;
  }

  /** Grows with each change of a state. */
  get revision(): number {
    return this.#revision;
  }

  /** Returns the names of all origins. */
  origins(): IterableIterator<PeerName> {
    return this.#origins.keys();
  }

  get(origin: PeerName): OriginState<F> | undefined {
    return this.#origins.get(origin);
  }

  /** Returns all records, tombstones included. */
  *all(): Generator<Versioned<F>> {
    for (const { records } of this.#origins.values()) yield* records.all();
  }

  /** Returns the live records of an origin. */
  of(origin: PeerName): Versioned<F>[] {
    return [...(this.#origins.get(origin)?.records.all() ?? [])].filter(isLive);
  }

  /** Sets the state of an origin. @param neighbour the peer that announced it; undefined: this peer itself */
  set(origin: PeerName, state: OriginState<F>, neighbour: PeerName | undefined): void {
    const before = this.#origins.get(origin)?.records;
    this.#origins.set(origin, state);
    this.#charge(origin, neighbour);
    const kept = new Set<Entry<F>>(before?.since(0) ?? []);
    const added: Entry<F>[] = [];
    for (const entry of state.records.since(0)) if (!kept.delete(entry)) added.push(entry);
    this.#changed(origin, added, [...kept]);
  }

  /** Applies a change to the records of an origin. @param neighbour as in {@link set} */
  apply(origin: PeerName, head: Head, trial: Trial<F>, neighbour: PeerName | undefined): void {
    const state = this.#origins.get(origin)!;
    trial.apply();
    this.#origins.set(origin, { ...state, head });
    this.#charge(origin, neighbour);
    this.#changed(origin, trial.added, trial.removed);
  }

  /** Sets the head of an origin whose records have not changed. */
  setHead(origin: PeerName, head: Head): void {
    this.#revision++;
    this.#origins.set(origin, { ...this.#origins.get(origin)!, head });
  }

  /** Removes an origin and its records. */
  drop(origin: PeerName): void {
    const known = this.#origins.get(origin);
    if (known === undefined) return;
    this.#origins.delete(origin);
    this.#options.budget.release(origin);
    this.#changed(origin, [], [...known.records.since(0)]);
  }

  /**
   * Makes room for the records of an origin. Larger origins are dropped first. Then neighbours have equal parts of the memory
   * (max-min fairness): the one that fills most loses the origins that became known last, so that several that flood the set
   * keep out no newcomer of another. Within the part of a neighbour, those who were there before a flood keep their records.
   *
   * @param heap estimated memory of the records after the change
   * @returns why there is no room; undefined when there is. `dropped` are the origins that were dropped
   */
  makeRoom(
    origin: PeerName,
    neighbour: PeerName | undefined,
    heap: number,
  ): { excess: Excess | undefined; dropped: Dropped[] } {
    const { budget } = this.#options;
    const bytes = ORIGIN_HEAP_BYTES + heap;
    const dropped: Dropped[] = [];
    for (;;) {
      const excess = budget.excess(origin, neighbour, bytes);
      if (excess === undefined || excess === "origin") return { excess, dropped };
      const charge = budget.chargeWith(origin, neighbour, bytes);
      const victim = this.#victim(origin, bytes, excess === "neighbour" ? { only: neighbour! } : { charge });
      if (victim === undefined) return { excess, dropped };
      dropped.push({ origin: victim, payer: budget.payerOf(victim)! });
      this.drop(victim);
    }
  }

  /** @param from the neighbour whose origins may be dropped; or what the origin's payer would be charged with, and all */
  #victim(origin: PeerName, bytes: number, from: { only: PeerName } | { charge: number }): PeerName | undefined {
    const { budget } = this.#options;
    const most = budget.largestPayer();
    const mayPay = (payer: PeerName) => ("only" in from ? payer === from.only : budget.chargedTo(payer) >= from.charge);
    const excessive = "charge" in from && most !== undefined && most.bytes > from.charge ? most.neighbour : undefined;
    let largest: PeerName | undefined;
    let size = Math.max(bytes, FAIR_BYTES);
    let youngestOfMost: PeerName | undefined;
    let youngest: PeerName | undefined;
    let isYounger = false;
    for (const name of this.#origins.keys()) {
      if (name === origin) isYounger = true;
      const payer = budget.payerOf(name);
      if (name === origin || payer === undefined || ("only" in from && payer !== from.only)) continue;
      if (budget.bytesOf(name) > size) {
        largest = name;
        size = budget.bytesOf(name);
      }
      if (payer === excessive) youngestOfMost = name;
      if (isYounger && mayPay(payer)) youngest = name;
    }
    return largest ?? youngestOfMost ?? youngest;
  }

  #charge(origin: PeerName, neighbour: PeerName | undefined): void {
    const { heap } = this.#origins.get(origin)!.records;
    this.#options.budget.charge(origin, neighbour, ORIGIN_HEAP_BYTES + heap);
  }

  #changed(origin: PeerName, added: readonly Entry<F>[], removed: readonly Entry<F>[]): void {
    this.#revision++;
    const { indexes, onChange } = this.#options;
    const gone = removed.map(({ record }) => record).filter(isLive);
    const come = added.map(({ record }) => record).filter(isLive);
    this.#live += come.length - gone.length;
    for (const index of indexes ?? []) {
      for (const record of gone) index.delete(record);
      for (const record of come) index.add(record);
    }
    onChange?.({ origin, added: come, removed: gone });
  }
}

const isLive = ({ tombstone }: { readonly tombstone: number }): boolean => tombstone === 0;
