import * as z from "zod/mini";
import { countShape, keyShape, nicknameOrNoneShape, peerNameShape } from "#mesh/peer.js";
import { type Exclusion, MAX_EXCLUDED_IDENTITIES } from "#mesh/trust/exclusions.js";
import type { Pin } from "#mesh/trust/pins.js";
import { retirementShape } from "#mesh/trust/retirement.js";
import { MAX_RETIRED_IDENTITIES } from "#mesh/trust/retirements.js";
import type { TrustStore } from "#mesh/trust/store.js";
import { checkStored, readStored, type Store } from "#src/store.js";

/** Prefix of the keys of pins; the rest is the peer's name. */
const PIN = "trust/pin/";
const EXCLUDED = "trust/excluded";
const RETIRED = "trust/retired";

const NEXT = "Restore a backup ('weave restore FILE'), or 'weave reset --force' to start as a new peer.";

const shared = { nickname: nicknameOrNoneShape, identity: keyShape };
const pinShape = z.object({ ...shared, firstSeen: countShape, lastSeen: countShape, direct: z.boolean() });
const excludedShape = z
  .array(z.object({ ...shared, name: z.optional(peerNameShape), at: countShape }))
  .check(z.maxLength(MAX_EXCLUDED_IDENTITIES));
const retiredShape = z.array(retirementShape).check(z.maxLength(MAX_RETIRED_IDENTITIES));

/** Keeps a `Trust` in the router's database. */
export function databaseTrustStore(store: Store): TrustStore {
  return {
    load: () => ({
      pins: store.list(PIN).map(([key, value]): Pin => {
        const name = checkStored(key, key.slice(PIN.length), peerNameShape, NEXT);
        return { name, ...checkStored(key, value, pinShape, NEXT) } as Pin;
      }),
      excluded: (readStored(store, EXCLUDED, excludedShape, NEXT) ?? []) as Exclusion[],
      retired: (readStored(store, RETIRED, retiredShape, NEXT) ?? []) as never,
    }),
    save({ pins, excluded, retired }) {
      store.change([
        ...[...pins].map(([name, pin]) => [PIN + name, pin && storedPin(pin)] as const),
        ...(excluded ? [[EXCLUDED, excluded] as const] : []),
        ...(retired ? [[RETIRED, retired] as const] : []),
      ]);
    },
  };
}

const storedPin = ({ nickname, identity, firstSeen, lastSeen, direct }: Pin) => ({
  nickname,
  identity,
  firstSeen: Math.floor(firstSeen),
  lastSeen: Math.floor(lastSeen),
  direct,
});
