import type { RekeyState } from "#mesh/rekey/ledger.js";
import type { RekeyDeps, RekeyRequest } from "#mesh/rekey/options.js";
import {
  commitmentOf,
  fingerprintOf,
  MAX_ACCEPT_EARLIER_MS,
  MAX_DEADLINE_MS,
  MAX_EXCLUDED,
  type NamedPeer,
  type SignedOrder,
  signOrder,
} from "#mesh/rekey/order.js";
import { WeaveError } from "#src/errors.js";
import { toHex } from "#src/text.js";

type OrderingDeps = Pick<RekeyDeps, "self" | "signer" | "random" | "secrets" | "exclusions" | "network">;

/**
 * Makes the order that an operator requests.
 *
 * @param state what this peer keeps of earlier orders
 * @throws WEAVE_REKEY
 */
export function newOrder(request: RekeyRequest, deps: OrderingDeps, state: RekeyState | undefined): SignedOrder {
  check(request, deps, state);
  const { signer, self, network, random } = deps;
  const before = state?.orders.find(({ order }) => order.id === state.current)?.order;
  const now = Math.floor(network.time());
  return signOrder(
    {
      id: toHex(random.bytes(16)),
      generation: Math.max(now, (before?.generation ?? 0) + 1),
      after: before?.id ?? "",
      by: { name: self.name, nickname: self.nickname, identity: signer.identity },
      commitment: commitmentOf(request.key),
      excluded: exclusionsOf(request, deps, state),
      deadline: now + Math.min(request.deadlineMs, MAX_DEADLINE_MS),
      acceptEarlierUntil:
        request.acceptEarlierMs === 0 ? 0 : now + Math.min(request.acceptEarlierMs, MAX_ACCEPT_EARLIER_MS),
    },
    signer,
  );
}

function check({ key, excluded }: RekeyRequest, { signer, secrets }: OrderingDeps, state?: RekeyState): void {
  const accepted = secrets.accepted.map((each) => fingerprintOf(each?.key));
  if (fingerprintOf(key) === accepted[0])
    throw new WeaveError("WEAVE_REKEY", `the network has ${key === undefined ? "no" : "this"} password already`, {
      next: "Choose another one.",
    });
  if (excluded.some(({ identity }) => identity === signer.identity))
    throw new WeaveError("WEAVE_REKEY", "a peer cannot exclude itself", {
      next: "'weave reset' removes this host from the network; or order on another host.",
    });
  if (excluded.length > MAX_EXCLUDED)
    throw new WeaveError("WEAVE_REKEY", `one order excludes at most ${MAX_EXCLUDED} peers`, {
      next: "Exclude the others by a second order.",
    });
  if (
    excluded.length > 0 &&
    (key === undefined || [...(state?.replaced ?? []), ...accepted].includes(fingerprintOf(key)))
  )
    throw new WeaveError("WEAVE_REKEY", "the excluded peer could return: it would know the new password", {
      next: "Choose a password that the network never had.",
    });
}

/** The exclusions of a new order: its own, and those of earlier ones that still apply here. */
function exclusionsOf({ excluded }: RekeyRequest, { exclusions }: OrderingDeps, state?: RekeyState): NamedPeer[] {
  const earlier = (state?.orders ?? []).flatMap(({ order }) => order.excluded);
  const all = [...excluded, ...earlier.filter(({ identity }) => exclusions.isExcluded(identity))];
  const byIdentity = new Map(all.map(({ name, identity }) => [identity, { name, identity }]));
  return [...byIdentity.values()].slice(0, MAX_EXCLUDED);
}
