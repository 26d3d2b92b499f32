import { type LaunchedAs, launchedAs, type RekeyState, rekeyStateShape } from "#mesh/rekey/ledger.js";
import type { OrderStore } from "#mesh/rekey/options.js";
import { fingerprintOf, ordererText } from "#mesh/rekey/order.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";
import { readStored, type Store } from "#src/store.js";

const KEY = "rekey";
const NEXT = "Restore a backup ('weave restore FILE'), or 'weave reset --force' to start as a new peer.";
/** Key of the problem in status. */
const PROBLEM = "password of the launch";

/** Where a launch has its password from. */
export interface PasswordSource {
  /** The secret of the password; undefined: none. */
  readonly key: Uint8Array | undefined;
  readonly file: string | undefined;
}

interface OrderStoreDeps {
  readonly store: Store;
  readonly log: Log;
  readonly problems: Problems;
}

/**
 * Opens the orders that the database has. A password that an order has replaced is still that of the file: the router uses the
 * new secret, and status names what must be updated. With a password that was never the network's, the orders are obsolete.
 *
 * @throws WEAVE_STORE
 */
export function databaseOrderStore(source: PasswordSource, { store, log, problems }: OrderStoreDeps): OrderStore {
  const kept = readStored(store, KEY, rekeyStateShape, NEXT);
  const launched = fingerprintOf(source.key);
  const as: LaunchedAs = launchedAs(kept, launched);
  const state = as === "other" ? undefined : kept;
  if (kept !== undefined && as === "other") {
    store.remove(KEY);
    log.info("launched with another password: orders to change the network's secret are forgotten");
  }
  if (state !== undefined && as === "replaced") warn(state, source, { log, problems });
  return {
    state,
    save(next: RekeyState) {
      store.put(KEY, next);
      const differs = launchedAs(next, launched) !== "current";
      if (differs) warn(next, source, { log, problems });
      else problems.clear(PROBLEM);
    },
  };
}

/** Reports that the next launch must have another password. */
function warn(state: RekeyState, { file }: PasswordSource, { log, problems }: Omit<OrderStoreDeps, "store">): void {
  const order = state.orders.find((each) => each.order.id === state.current)?.order;
  const by = order === undefined ? "an order" : ordererText(order);
  const open = state.secrets[0].key === undefined;
  const what = open ? "The network has no password now" : "The network has another password now";
  const where =
    file === undefined
      ? `launch with ${open ? "none" : "the new one"} the next time`
      : open
        ? `launch without ${file} the next time`
        : `write it to ${file}`;
  const text = `${what}, by order of ${by}; this host uses it, and also after a restart: ${where}.`;
  log.warn(text);
  problems.set(PROBLEM, text);
}
