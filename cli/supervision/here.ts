import type { Launch } from "#cli/launch/launch-flags.js";
import { processSupervision } from "#cli/supervision/process.js";
import type { Supervision } from "#cli/supervision/supervision.js";
import { type SupervisionKind, supervisionKind } from "#cli/support/supervised.js";

/** The kinds that exist. A kind is loaded when it is used. */
const LOAD: { readonly [K in SupervisionKind]?: () => Promise<Supervision> } = {
  process: async () => processSupervision(),
  systemd: async () => (await import("#cli/supervision/systemd.js")).systemdSupervision(),
};

/** What keeps the router of this host running, or kept the last one. */
export async function supervisionHere(): Promise<Supervision> {
  return supervisionOf(supervisionKind());
}

/**
 * Chooses what will keep a router running that is launched now: systemd where it can, unless the user wants no restart after a crash,
 * which is what the unit is for.
 */
export async function supervisionForLaunch({ options }: Launch): Promise<Supervision> {
  const { unitIsUsable } = await import("#cli/supervision/systemd.js");
  return supervisionOf(options.restart && (await unitIsUsable()) ? "systemd" : "process");
}

const supervisionOf = (kind: SupervisionKind): Promise<Supervision> => (LOAD[kind] ?? LOAD.process!)();
