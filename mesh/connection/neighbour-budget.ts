import type { PeerName } from "#mesh/peer.js";

/**
 * Share of one core that the messages of a neighbour may take for as long as it likes. With its part of the reserve, and what sockets and
 * collections outside of the handlers take, which is charged to no neighbour, it must stay below 30 %: a share of 0.15 gave 32 % in ten
 * minutes.
 */
export const NEIGHBOUR_SHARE = 0.12;
/** Share of one core that all neighbours together may take which exceed their own. */
export const EXCESS_SHARE = 0.4;
/**
 * What a neighbour may take at once, in milliseconds of one core, before its share limits it. A peer that joins a network of 300 peers
 * takes less from each of them; the first neighbour, from which it learns all others, takes the rest from {@link RESERVE_MS}.
 */
export const BURST_MS = 1_000;
/** What all neighbours together may take beyond their bursts, in milliseconds of one core, and the share of a core that restores it. */
export const RESERVE_MS = 10_000;
const RESERVE_SHARE = 0.05;
/** Longest pause of a connection in milliseconds: shorter than the time in which a silent peer is suspected (mesh/connection/liveness.ts). */
export const MAX_PAUSE_MS = 2_000;
/** A debt beyond this is forgiven, in milliseconds: one message must not stop a connection for minutes. */
const MAX_DEBT_MS = 60_000;

/**
 * What a message costs beside the time of its handler, in milliseconds: the frame around it is read and unmasked before the handler
 * is called. It is all that is charged where no time passes, as in a simulation.
 */
const PRICES = { message: 0.01, kilobyte: 0.004 } as const;
/** The time of a signature check (Ed25519), in milliseconds, where no time passes. */
const SIGNATURE_MS = 0.11;

/** A neighbour that was slowed, for status. */
export interface SlowedNeighbour {
  readonly peer: PeerName;
  /** Whether it is slowed now. */
  readonly slowed: boolean;
  /** Milliseconds for which its connection was not read, since the start of this peer. */
  readonly pausedMs: number;
  /** Milliseconds of one core that its messages have taken. */
  readonly usedMs: number;
}

/** The account of one neighbour, over all its connections. */
class Account {
  /** Milliseconds of one core that are left; negative: a debt. */
  balance = BURST_MS;
  /** Monotonic time of the last update. */
  at: number;
  pausedMs = 0;
  usedMs = 0;
  /** Monotonic time until when its connection is not read. */
  pausedUntil = Number.NEGATIVE_INFINITY;

  constructor(now: number) {
    this.at = now;
  }
}

/** Maximum number of accounts of neighbours without a connection: they keep their debts, so that a new connection brings nothing. */
const MAX_ACCOUNTS = 4_096;

/**
 * Charges neighbours for the time that their messages take, and decides how long a connection is not read. It is a token bucket for
 * each neighbour (ITU-T I.371, generic cell rate algorithm), with a reserve that all share: a crowd that joins at once uses it, and
 * a peer with many names has it only once. Pure: the caller passes times and costs.
 */
export class NeighbourBudgets {
  readonly #accounts = new Map<PeerName, Account>();
  #pausedMs = 0;
  #reserve = RESERVE_MS;
  #reserveAt = Number.NEGATIVE_INFINITY;

  /**
   * Charges a neighbour.
   *
   * @param costMs milliseconds of one core, see {@link costOf}
   * @param now monotonic milliseconds
   * @returns for how many milliseconds its connection must not be read; 0: it stays within its share
   */
  charge(peer: PeerName, costMs: number, now: number): number {
    const account = this.#account(peer, now);
    account.usedMs += costMs;
    account.balance -= costMs;
    if (account.balance >= 0) return 0;
    this.#refillReserve(now);
    const taken = Math.min(-account.balance, this.#reserve);
    this.#reserve -= taken;
    account.balance = Math.max(-MAX_DEBT_MS, account.balance + taken);
    // Below a millisecond a timer takes longer than the pause.
    if (account.balance > -1) return 0;
    const pause = Math.min(MAX_PAUSE_MS, -account.balance / this.#share(now));
    // Messages that had arrived already prolong a pause.
    const longer = now + pause - Math.min(now + pause, Math.max(now, account.pausedUntil));
    account.pausedMs += longer;
    this.#pausedMs += longer;
    account.pausedUntil = now + pause;
    return pause;
  }

  /** The neighbours that were ever slowed, those that are slowed now first. */
  slowed(now: number): SlowedNeighbour[] {
    return [...this.#accounts]
      .filter(([, { pausedMs }]) => pausedMs > 0)
      .map(([peer, { pausedMs, usedMs, pausedUntil }]) => ({
        peer,
        slowed: pausedUntil >= now - MAX_PAUSE_MS,
        pausedMs: Math.round(pausedMs),
        usedMs: Math.round(usedMs),
      }))
      .sort((a, b) => Number(b.slowed) - Number(a.slowed) || b.pausedMs - a.pausedMs);
  }

  /** Milliseconds for which connections were not read, of all neighbours, also those whose account was dropped. */
  get pausedMs(): number {
    return this.#pausedMs;
  }

  #account(peer: PeerName, now: number): Account {
    let account = this.#accounts.get(peer);
    if (account === undefined) {
      account = new Account(now);
      this.#accounts.set(peer, account);
      this.#makeRoom(peer);
    }
    const share = account.balance < 0 ? this.#share(now) : NEIGHBOUR_SHARE;
    account.balance = Math.min(BURST_MS, account.balance + (now - account.at) * share);
    account.at = now;
    return account;
  }

  /** The share of each neighbour that is slowed: less, if there are many of them. */
  #share(now: number): number {
    let slowed = 0;
    for (const { pausedUntil } of this.#accounts.values()) if (pausedUntil >= now - MAX_PAUSE_MS) slowed++;
    return Math.min(NEIGHBOUR_SHARE, EXCESS_SHARE / Math.max(1, slowed));
  }

  #refillReserve(now: number): void {
    const since = Math.max(0, now - this.#reserveAt);
    this.#reserve = Math.min(RESERVE_MS, this.#reserve + since * RESERVE_SHARE);
    this.#reserveAt = now;
  }

  /** Drops the account that owes least. */
  #makeRoom(except: PeerName): void {
    if (this.#accounts.size <= MAX_ACCOUNTS) return;
    let best: { peer: PeerName; balance: number } | undefined;
    for (const [peer, { balance }] of this.#accounts)
      if (peer !== except && (best === undefined || balance > best.balance)) best = { peer, balance };
    if (best !== undefined) this.#accounts.delete(best.peer);
  }
}

/**
 * The cost of a message in milliseconds of one core.
 *
 * @param handled milliseconds of the handler's thread; 0 where no time passes
 * @param signatures number of checked signatures
 */
export function costOf(bytes: number, handled: number, signatures: number): number {
  const least = signatures * SIGNATURE_MS;
  return PRICES.message + (bytes / 1_024) * PRICES.kilobyte + Math.max(handled, least);
}
