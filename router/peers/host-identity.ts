import { type Identity, loadIdentity } from "#router/peers/identity.js";
import { systemClock } from "#src/clock.js";
import { findBridge } from "#src/linux/links/bridge.js";
import { machineIdBytes } from "#src/linux/machine-id.js";
import { systemRandom } from "#src/random.js";
import type { Store } from "#src/store.js";

/** Loads the identity of this host's router. @throws WEAVE_STORE */
export async function hostIdentity(
  { name, bridge }: { readonly name: string | undefined; readonly bridge: string },
  store: Store,
): Promise<Identity> {
  const bridgeMac = (await findBridge(bridge))?.address;
  return loadIdentity({
    store,
    clock: systemClock,
    random: systemRandom,
    name,
    bridgeMac,
    machine: machineIdBytes(),
  });
}
