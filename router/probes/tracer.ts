import type { PeerName } from "#mesh/peer.js";
import type { LegFacts, ReachFacts } from "#router/probes/facts.js";
import type { AskRouter, Located, Locator, NotLocated } from "#router/probes/locator.js";

/** Longest chain of legs: the hops that a record of frames may take (router/datapath/record.ts has the limit). */
const MAX_LEGS = 16;

/** One leg of the way of frames, as the host at its beginning reports it. */
export interface TracedLeg {
  readonly at: PeerName;
  /** Null: that host reports none, for the reason in `silent`. */
  readonly facts: LegFacts | null;
  readonly silent: string;
}

/** All that is known of the way of frames from one place to another. */
export interface TraceFacts {
  readonly from: Located;
  readonly to: Located;
  /** In order; none when both are on one host. */
  readonly legs: readonly TracedLeg[];
  /** The far end, as probed from the host of the near end; null: that host reports none. */
  readonly reach: ReachFacts | null;
  readonly reachSilent: string;
}

/** Follows frames from host to host: each reports its next hop. */
export class Tracer {
  readonly #locator: Pick<Locator, "locate">;
  readonly #ask: AskRouter;

  constructor(locator: Pick<Locator, "locate">, ask: AskRouter) {
    this.#locator = locator;
    this.#ask = ask;
  }

  /** @param from,to names, ids, addresses or peers */
  async trace(from: string, to: string): Promise<TraceFacts | NotLocated> {
    const near = await this.#locator.locate(from);
    if ("why" in near) return near;
    const far = await this.#locator.locate(to);
    if ("why" in far) return far;
    const [legs, reach] = await Promise.all([this.#legs(near.peer, far.peer), this.#reach(near, far)]);
    return { from: near, to: far, legs, ...reach };
  }

  async #legs(from: PeerName, to: PeerName): Promise<TracedLeg[]> {
    const legs: TracedLeg[] = [];
    const seen = new Set<PeerName>();
    for (let at = from; at !== to && !seen.has(at) && legs.length < MAX_LEGS; ) {
      seen.add(at);
      const reply = await this.#ask(at, { ask: "leg", to });
      if ("silent" in reply) {
        legs.push({ at, facts: null, silent: reply.silent });
        break;
      }
      const { facts } = reply;
      legs.push({ at, facts, silent: "" });
      if (facts.via === "") break;
      at = facts.via;
    }
    return legs;
  }

  async #reach(
    near: Located,
    { peer, address, mac, kind }: Located,
  ): Promise<Pick<TraceFacts, "reach" | "reachSilent">> {
    const container = kind === "container" ? { address, mac } : ({ address: "", mac: "" } as const);
    const reply = await this.#ask(near.peer, { ask: "reach", peer, ...container });
    return "silent" in reply ? { reach: null, reachSilent: reply.silent } : { reach: reply.facts, reachSilent: "" };
  }
}
