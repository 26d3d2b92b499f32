import { processSupervision } from "#cli/supervision/process.js";
import type { Supervision } from "#cli/supervision/supervision.js";
import { type SupervisionKind, supervisionKind } from "#cli/support/supervised.js";

/** The kinds that exist. A kind is loaded when it is used. */
const LOAD: { readonly [K in SupervisionKind]?: () => Promise<Supervision> } = {
  process: async () => processSupervision(),
};

/** What keeps the router of this host running, or kept the last one. */
export async function supervisionHere(): Promise<Supervision> {
  return supervisionOf(supervisionKind());
}

/** Chooses what will keep a router running that is launched now. */
export async function supervisionForLaunch(): Promise<Supervision> {
  return supervisionOf("process");
}

const supervisionOf = (kind: SupervisionKind): Promise<Supervision> => (LOAD[kind] ?? LOAD.process!)();
