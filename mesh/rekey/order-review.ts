import { MAX_AHEAD_MS } from "#mesh/counter.js";
import { Rejections } from "#mesh/rejections.js";
import { MAX_ORDERS } from "#mesh/rekey/ledger.js";
import type { RekeyDeps, RekeyNeighbour } from "#mesh/rekey/options.js";
import {
  compareOrders,
  isGenuine,
  NO_ORDER,
  ordererText,
  REKEY_REJECTIONS,
  type RejectedOrder,
  type RekeyRejection,
  type SignedOrder,
} from "#mesh/rekey/order.js";

type ReviewDeps = Pick<RekeyDeps, "exclusions" | "network" | "signer" | "log">;

/** Reviews the orders that neighbours send, and counts those that it rejects. */
export class OrderReview {
  readonly rejections = new Rejections<RekeyRejection>(REKEY_REJECTIONS);
  last: RejectedOrder | undefined;
  readonly #deps: ReviewDeps;
  readonly #mayVerify: (neighbour: string) => boolean;

  /** @param mayVerify takes one verification of the budget of a neighbour, by its identity */
  constructor(deps: ReviewDeps, mayVerify: (neighbour: string) => boolean) {
    this.#deps = deps;
    this.#mayVerify = mayVerify;
  }

  /** Returns the orders that are not known, not older than all that are remembered, and sound. */
  news(from: RekeyNeighbour, orders: readonly SignedOrder[], known: readonly SignedOrder[]): SignedOrder[] {
    const ids = new Set(known.map(({ order }) => order.id));
    const oldest = known.length < MAX_ORDERS ? NO_ORDER : known[MAX_ORDERS - 1].order;
    return orders.filter((signed) => {
      const { order } = signed;
      if (ids.has(order.id) || compareOrders(order, oldest) < 0) return false;
      const reason = this.#fault(from, signed);
      if (reason === undefined) return true;
      this.rejections.add(reason, from.name);
      this.last = { order, reason, from: from.text };
      this.#deps.log.warn("an order to change the network's secret was rejected", {
        by: ordererText(order),
        from: from.text,
        why: reason,
      });
      return false;
    });
  }

  #fault(from: RekeyNeighbour, signed: SignedOrder): RekeyRejection | undefined {
    const { exclusions, network, signer } = this.#deps;
    const { by, generation, excluded } = signed.order;
    if (generation > network.time() + MAX_AHEAD_MS) return "future";
    if (exclusions.isExcluded(by.identity)) return "excluded";
    if (excluded.some(({ identity }) => identity === signer.identity)) return "self";
    if ((exclusions.identityOf(by.name) ?? by.identity) !== by.identity) return "name";
    if (!this.#mayVerify(from.identity)) return "rate";
    return isGenuine(signed, signer.verify) ? undefined : "signature";
  }
}
