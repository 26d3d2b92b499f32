import type { Launch } from "#cli/launch/launch-flags.js";
import { processSupervision } from "#cli/supervision/process.js";
import type { Launched, Supervision } from "#cli/supervision/supervision.js";
import { routerContainer } from "#cli/support/router-container.js";
import { isNamed, type SupervisionKind, supervisionKind } from "#cli/support/supervised.js";

/** Loads the code of a kind. */
const LOAD: Readonly<Record<SupervisionKind, () => Promise<Supervision>>> = {
  process: async () => processSupervision(),
  systemd: async () => (await import("#cli/supervision/systemd.js")).systemdSupervision(),
  container: async () => (await import("#cli/supervision/container/container.js")).containerSupervision(),
};

/** What keeps the router of this host running, or kept the last one. */
export async function supervisionHere(): Promise<Supervision> {
  if (isNamed()) return supervisionOf(supervisionKind());
  // After a boot the run folder is empty, and a container may wait in the engine.
  const waiting = await routerContainer().catch(() => undefined);
  return supervisionOf(waiting === undefined ? supervisionKind() : "container");
}

/**
 * Chooses what will keep a router running that is launched now: the engine, if the user names an image; systemd where it can, unless
 * the user wants no restart after a crash, which is what the unit is for.
 */
export async function supervisionForLaunch({ image, options }: Launch): Promise<Supervision> {
  if (image !== "") return supervisionOf("container");
  const { unitIsUsable } = await import("#cli/supervision/systemd.js");
  return supervisionOf(options.restart && (await unitIsUsable()) ? "systemd" : "process");
}

/** Has all other kinds start no router beside the one that was launched. */
export async function retireOthers(launched: Launched): Promise<void> {
  for (const [kind, load] of Object.entries(LOAD)) if (kind !== launched.kind) await (await load()).retire(launched);
}

const supervisionOf = (kind: SupervisionKind): Promise<Supervision> => LOAD[kind]();
