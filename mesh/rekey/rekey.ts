import { Acknowledgements, acknowledge, isAcknowledged, type Member } from "#mesh/rekey/acknowledgements.js";
import {
  doubtfulExclusions,
  exclusionsInForce,
  launchedAs,
  MAX_ORDERS,
  networkSecrets,
  type RekeyState,
  withOrders,
  withoutEarlier,
  withSecret,
} from "#mesh/rekey/ledger.js";
import { newOrder } from "#mesh/rekey/new-order.js";
import type { RekeyDeps, RekeyNeighbour, RekeyRequest, RekeyStatus } from "#mesh/rekey/options.js";
import {
  compareOrders,
  fingerprintOf,
  isSecretOf,
  MAX_ACCEPT_EARLIER_MS,
  MAX_DEADLINE_MS,
  type NamedPeer,
  NO_ORDER,
  ordererText,
  type RekeyOrder,
  type SignedOrder,
} from "#mesh/rekey/order.js";
import { OrderReview } from "#mesh/rekey/order-review.js";
import {
  type Acknowledgement,
  decodeRekey,
  encodeRekey,
  MAX_ACKNOWLEDGEMENTS,
  type OrderMessage,
} from "#mesh/rekey/wire.js";
import type { Timer } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import { sample } from "#src/random.js";
import { RateLimiter } from "#src/rate-limiter.js";

/**
 * Default time until a deadline. It is the time for which the topology keeps an unreachable peer: a peer whose router restarts, or
 * whose line is down for minutes, during the change gets in again.
 */
export const DEFAULT_DEADLINE_MS = 15 * 60_000;
/** Peers that were reachable so long before an order are awaited like reachable ones: a router that restarts takes seconds. */
const RESTART_MS = 60_000;
/** Shortest time for which the earlier secret is accepted: handshakes in progress end, and news of other peers arrive. */
const SETTLE_MS = 10_000;
/** Requests for missing acknowledgements, to so many random neighbours; the delay doubles while nothing new arrives. */
const POLL = { firstMs: 1_000, lastMs: 16_000, neighbours: 3 };
/** Orders that come into force: a burst, then one in so many milliseconds. Later ones wait. */
const ORDERS = { perSecond: 1 / 20, burst: 3 };
/** Orders of one neighbour that are verified. */
const NEWS = { perSecond: 1 / 10, burst: 2 * MAX_ORDERS };
/** Acknowledgements of one neighbour that are verified: 1 % of a core, and the acknowledgements of a large network at once. */
const VERIFICATIONS = { perSecond: 100, burst: 4_096 };

/** All orders share one rate. */
const ALL = "";

/** An order that is not yet in force. */
interface Waiting {
  readonly signed: SignedOrder;
  readonly key: Uint8Array | undefined;
  readonly via: RekeyNeighbour;
}

/**
 * Changes the network's secret while connections live:
 *
 *   settled ──order──▶ changing (both secrets are accepted) ──all have it, or the deadline──▶ settled
 *      ▲                  │ ▲                                                                  │
 *      └──────────────────┘ └──a later order───────────────────────────────────────────────────┘
 *
 * An order goes from neighbour to neighbour over their connections, and to no excluded peer. Of several orders the newest one is
 * in force at all peers that have received it ({@link compareOrders}); the exclusions of all of them apply.
 */
export class Rekey {
  readonly #deps: RekeyDeps;
  readonly #acknowledgements = new Acknowledgements();
  readonly #orderRate: RateLimiter;
  readonly #verifications: RateLimiter;
  /** The fingerprint of the secret of this launch. */
  readonly #launchedWith: string;
  /** Members by identity, and the monotonic time when each was reachable last. */
  readonly #seen = new Map<string, { member: Member; at: number }>();
  readonly #review: OrderReview;
  #state: RekeyState | undefined;
  /** This peer's acknowledgement of the order in force. */
  #own: Acknowledgement | undefined;
  #via: string | undefined;
  #waiting: Waiting | undefined;
  /** Monotonic time when the order came into force here, or of the start. */
  #since: number;
  #timer: Timer | undefined;
  #pollMs = POLL.firstMs;

  constructor(deps: RekeyDeps) {
    this.#deps = deps;
    const { clock, store, secrets } = deps;
    this.#orderRate = new RateLimiter(clock, ORDERS);
    this.#verifications = new RateLimiter(clock, VERIFICATIONS);
    const orders = new RateLimiter(clock, NEWS);
    this.#review = new OrderReview(deps, (neighbour) => orders.admit(neighbour));
    this.#launchedWith = fingerprintOf(secrets.accepted[0]?.key);
    this.#state = store.state;
    this.#since = clock.now();
    if (this.#state === undefined) return;
    secrets.accept(networkSecrets(this.#state));
    this.#acknowledgements.begin(this.#state.current);
    // The last run may have ended before they were stored.
    if (!this.#state.applied) this.#exclude(exclusionsInForce(this.#state));
    this.#setTimer();
  }

  /** The order in force. */
  get #order(): RekeyOrder | undefined {
    return this.#state?.orders.find(({ order }) => order.id === this.#state!.current)?.order;
  }

  status(): RekeyStatus {
    const { secrets } = this.#deps;
    return {
      order: this.#order,
      launchedAs: launchedAs(this.#state, this.#launchedWith),
      via: this.#via,
      lacking: this.#acknowledgements.lacking(),
      earlierUntil: secrets.accepted.length > 1 ? this.#state?.earlierUntil : undefined,
      doubtful: this.#state === undefined ? [] : doubtfulExclusions(this.#state),
      waiting: this.#waiting?.signed.order,
      rejections: this.#review.rejections,
      lastRejected: this.#review.last,
    };
  }

  /**
   * Gives an order. It is in force here, and on disk, when this returns.
   *
   * @throws WEAVE_REKEY
   */
  order(request: RekeyRequest): RekeyOrder {
    const signed = newOrder(request, this.#deps, this.#state);
    if (!this.#orderRate.admit(ALL)) {
      throw new WeaveError("WEAVE_REKEY", "there were several changes of the secret within the last minute", {
        next: `Wait ${Math.ceil(1 / ORDERS.perSecond)} s, and order again.`,
      });
    }
    this.#via = undefined;
    this.#enforce(signed, request.key, []);
    this.#forward([signed], undefined);
    return signed.order;
  }

  /** Informs a new neighbour which order is in force here. */
  greet(neighbour: RekeyNeighbour): void {
    if (this.#state !== undefined) this.#report(neighbour);
  }

  /** Must be called after the reachable peers have changed. */
  membersChanged(): void {
    this.#noteMembers();
    if (this.#state !== undefined) for (const { member } of this.#seen.values()) this.#await(member);
    if (this.#state !== undefined && this.#timer === undefined) this.#setTimer();
  }

  /** Handles a message of a neighbour. @throws WEAVE_MESSAGE_MALFORMED */
  receive(from: RekeyNeighbour, payload: Uint8Array): void {
    const message = decodeRekey(payload);
    const known = this.#state?.orders ?? [];
    const news = this.#review.news(from, message.orders, known);
    const order = [...known, ...news].find((each) => each.order.id === message.current);
    const inForce = this.#order ?? NO_ORDER;
    const later =
      order !== undefined && compareOrders(order.order, inForce) > 0 && isSecretOf(order.order, message.key);
    // Those that are later than the one in force, and come without a secret, would only displace others.
    const earlier = news.filter((each) => compareOrders(each.order, later ? order.order : inForce) < 0);
    this.#remember(from, earlier);
    if (later)
      this.#comeIntoForce({ signed: order, key: message.key && Uint8Array.from(message.key), via: from }, earlier);
    this.#acknowledge(from, message.acknowledgements);
    this.#answer(from, message);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  // ── Orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A later order arrives: it replaces the one in force, at once or when the rate allows it. */
  #comeIntoForce(arrived: Waiting, others: readonly SignedOrder[]): void {
    const { signed, key, via } = arrived;
    if (!this.#orderRate.admit(ALL)) {
      const other = this.#waiting?.signed.order ?? NO_ORDER;
      if (compareOrders(signed.order, other) > 0) this.#waiting = arrived;
      this.#setTimer();
      return;
    }
    const before = this.#state?.orders ?? [];
    // Two orders were given at the same time: the other half of the network may not know those of this one.
    const aside = this.#order !== undefined && signed.order.after !== this.#order.id;
    this.#via = via.text;
    this.#enforce(signed, key, others);
    this.#forward([...others, signed], via);
    if (aside) this.#report(via, { orders: before });
  }

  /** Orders that are not in force, and that this peer did not know, change only who is excluded. */
  #remember(from: RekeyNeighbour, news: readonly SignedOrder[]): void {
    if (news.length === 0 || this.#state === undefined) return;
    for (const { order } of news) this.#exclude(order.excluded, order);
    this.#state = { ...this.#state, orders: withOrders(this.#state.orders, news), applied: false };
    this.#deps.store.save(this.#state);
    this.#forward(news, from);
  }

  /** Puts an order into force: excludes, saves, and accepts the new secret. */
  #enforce(signed: SignedOrder, key: Uint8Array | undefined, others: readonly SignedOrder[]): void {
    const { secrets, store, network, clock, log, signer } = this.#deps;
    const { order } = signed;
    const launched = { label: 0, ...(secrets.accepted[0] && { key: secrets.accepted[0].key }) };
    const latest = network.time() + Math.max(MAX_DEADLINE_MS, MAX_ACCEPT_EARLIER_MS);
    const earlierUntil = Math.min(Math.max(order.deadline, order.acceptEarlierUntil), Math.floor(latest));
    // First of all: nothing may reach an excluded peer.
    this.#exclude(order.excluded, order);
    const before = this.#state;
    const state = withSecret(before, signed, { key, launched, launchedWith: this.#launchedWith, earlierUntil });
    this.#state = { ...state, orders: withOrders(state.orders, others) };
    if (before === undefined) this.#exclude(exclusionsInForce(this.#state));
    store.save(this.#state);
    secrets.accept(networkSecrets(this.#state));
    this.#since = clock.now();
    this.#pollMs = POLL.firstMs;
    this.#acknowledgements.begin(order.id);
    this.#noteMembers();
    for (const { member } of this.#seen.values()) this.#await(member);
    log.warn("the network's secret has changed", {
      by: ordererText(order),
      via: this.#via ?? "this host",
      ordered: new Date(order.generation).toISOString(),
      excluded: order.excluded.map(({ name }) => name),
      password: order.commitment !== "",
    });
    this.#own = acknowledge(order.id, signer);
    this.#setTimer();
  }

  /** @param order the order that excludes them, for the log; undefined: one of several */
  #exclude(excluded: readonly NamedPeer[], order = this.#order): void {
    const { exclusions, signer } = this.#deps;
    for (const { identity } of excluded) {
      if (identity === signer.identity || exclusions.isExcluded(identity)) continue;
      exclusions.exclude(identity, order && ordererText(order));
      this.#acknowledgements.drop(identity);
    }
  }

  // ── Messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends orders to all neighbours but the excluded ones, and the one that they came from. */
  #forward(orders: readonly SignedOrder[], except: RekeyNeighbour | undefined): void {
    for (const neighbour of this.#deps.network.neighbours()) {
      if (neighbour.identity === except?.identity) this.#report(neighbour);
      else this.#report(neighbour, { orders });
    }
  }

  /** Sends which order is in force here, with this peer's acknowledgement, and more. */
  #report(to: RekeyNeighbour, more: Partial<OrderMessage> = {}): void {
    if (this.#deps.exclusions.isExcluded(to.identity)) return;
    const state = this.#state;
    const order = this.#order;
    const key = more.orders?.some((each) => each.order.id === order?.id) ? state?.secrets[0].key : undefined;
    this.#own ??= order && acknowledge(order.id, this.#deps.signer);
    to.send(
      encodeRekey({
        orders: [],
        current: order?.id ?? "",
        generation: order?.generation ?? 0,
        lacking: [],
        ...more,
        acknowledgements: [...(this.#own ? [this.#own] : []), ...(more.acknowledgements ?? [])],
        ...(key && { key }),
      }),
    );
  }

  #acknowledge(from: RekeyNeighbour, acknowledgements: readonly Acknowledgement[]): void {
    let progress = false;
    for (const each of acknowledgements) {
      if (!this.#acknowledgements.isNew(each) || !this.#verifications.admit(from.identity)) continue;
      if (isAcknowledged(each, this.#deps.signer.verify)) {
        this.#acknowledgements.add(each);
        progress = true;
      } else this.#review.rejections.add("acknowledgement", from.name);
    }
    // Where one came from, there are more.
    if (progress && this.#pollMs > POLL.firstMs) {
      this.#pollMs = POLL.firstMs;
      this.#setTimer();
    }
  }

  #answer(from: RekeyNeighbour, message: OrderMessage): void {
    const own = this.#order ?? NO_ORDER;
    if (message.current === own.id) {
      const acknowledgements = this.#acknowledgements.of(message.lacking).slice(0, MAX_ACKNOWLEDGEMENTS - 1);
      if (acknowledgements.length > 0) this.#report(from, { acknowledgements });
      return;
    }
    const theirs = { ...NO_ORDER, id: message.current, generation: message.generation };
    if (compareOrders(theirs, own) < 0) {
      // The other end has an older order, or none. One that it has just sent was forwarded to it with the answer.
      this.#report(from, { orders: this.#state!.orders });
    } else if (message.orders.length === 0 && this.#waiting === undefined) this.#report(from);
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #await(member: Member): void {
    const { exclusions, signer } = this.#deps;
    if (member.identity !== signer.identity && !exclusions.isExcluded(member.identity))
      this.#acknowledgements.await(member);
  }

  /** Notes who is reachable, and drops the members that were not for {@link RESTART_MS}. */
  #noteMembers(): void {
    const { clock, network } = this.#deps;
    const now = clock.now();
    for (const member of network.members()) this.#seen.set(member.identity, { member, at: now });
    for (const [identity, { at }] of this.#seen) if (now - at > RESTART_MS) this.#seen.delete(identity);
  }

  /** Sets the timer for {@link #tick}, while something is to be done. */
  #setTimer(): void {
    this.#timer?.cancel();
    const changing = this.#deps.secrets.accepted.length > 1;
    const busy =
      changing || this.#state?.applied === false || this.#waiting !== undefined || this.#lackingReachable().length > 0;
    this.#timer = busy ? this.#deps.clock.after(this.#pollMs, () => this.#tick()) : undefined;
  }

  #tick(): void {
    this.#timer = undefined;
    this.#noteMembers();
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      // An exclusion may have come meanwhile.
      if (!this.#deps.exclusions.isExcluded(waiting.signed.order.by.identity)) this.#comeIntoForce(waiting, []);
    }
    this.#endEarlier();
    this.#noteApplied();
    this.#poll();
    this.#pollMs = Math.min(POLL.lastMs, this.#pollMs * 2);
    this.#setTimer();
  }

  /** Notes that the exclusions are stored: what is lifted from now on stays lifted after a restart. */
  #noteApplied(): void {
    const { clock, store } = this.#deps;
    if (this.#state === undefined || this.#state.applied || clock.now() - this.#since < SETTLE_MS) return;
    this.#state = { ...this.#state, applied: true };
    store.save(this.#state);
  }

  /** Ceases to accept the earlier secrets, when all reachable peers have the new one, or at the deadline. */
  #endEarlier(): void {
    const { secrets, clock, network, store, log } = this.#deps;
    const state = this.#state;
    const order = this.#order;
    if (state === undefined || order === undefined || secrets.accepted.length < 2) return;
    const lacking = this.#acknowledgements.lacking();
    const now = network.time();
    if (now < state.earlierUntil) {
      if (now < order.acceptEarlierUntil || lacking.length > 0 || clock.now() - this.#since < SETTLE_MS) return;
    }
    this.#state = withoutEarlier(state);
    store.save(this.#state);
    secrets.accept(networkSecrets(this.#state));
    log.info("the earlier secret is no longer accepted", { lacking: lacking.map(({ name }) => name) });
  }

  /** Members without an acknowledgement that can give one: they are reachable, or were a short time ago. */
  #lackingReachable(): Member[] {
    return this.#acknowledgements.lacking().filter(({ identity }) => this.#seen.has(identity));
  }

  /** Requests missing acknowledgements of some neighbours. */
  #poll(): void {
    const { random, network } = this.#deps;
    const lacking = this.#lackingReachable().map(({ identity }) => identity);
    if (lacking.length === 0) return;
    for (const neighbour of sample(random, [...network.neighbours()], POLL.neighbours))
      this.#report(neighbour, { lacking: sample(random, lacking, MAX_ACKNOWLEDGEMENTS) });
  }
}
