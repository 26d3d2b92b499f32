import { existsSync, readFileSync } from "node:fs";
import { containerName } from "#cli/support/environment.js";
import { runningProcesses } from "#cli/support/processes.js";
import { unitState } from "#cli/support/systemctl.js";
import { paths, supervisionFile } from "#src/paths.js";

/**
 * What keeps a router running: the supervisor process that `weave launch` starts, systemd by weave.service, or the engine by a
 * container. `cli/supervision/` starts and stops each; messages about a router that does not answer need only this part.
 */
export type SupervisionKind = "process" | "systemd" | "container";

export interface Supervised {
  readonly kind: SupervisionKind;
  /** Where the router's log is, without a capital letter and without a full stop: for the middle of a sentence, or its beginning. */
  readonly logHint: string;
  /** Whether a router is kept running now: one that runs, starts, or waits for its restart. */
  isOn(): Promise<boolean>;
}

const KINDS: Readonly<Record<SupervisionKind, () => Supervised>> = {
  process: () => ({
    kind: "process",
    logHint: `its log is ${paths().log}`,
    isOn: hasProcess,
  }),
  container: () => ({
    kind: "container",
    logHint: `see 'docker logs ${containerName()}'`,
    isOn: containerIsOn,
  }),
  systemd: () => ({
    kind: "systemd",
    logHint: "its log is in 'journalctl -u weave'",
    isOn: async () =>
      ["active", "activating", "reloading", "deactivating"].includes((await unitState())?.ActiveState ?? ""),
  }),
};

const hasProcess = async (): Promise<boolean> => Object.values(runningProcesses()).some((pid) => pid !== undefined);

/** Without an answer of the engine the process decides. */
async function containerIsOn(): Promise<boolean> {
  const { isKeptRunning, routerContainer } = await import("#cli/support/router-container.js");
  try {
    const found = await routerContainer();
    return found !== undefined && isKeptRunning(found);
  } catch {
    return hasProcess();
  }
}

/** What keeps the router of this host running, or kept the last one. @param kind the kind of a router that is not launched yet */
export function supervised(kind = supervisionKind()): Supervised {
  return KINDS[kind]();
}

/** The kind that the run folder names. An earlier version, which knew no other kind, wrote no such file. */
export function supervisionKind(): SupervisionKind {
  try {
    const kind = readFileSync(supervisionFile(paths().run), "utf8").trim();
    return Object.hasOwn(KINDS, kind) ? (kind as SupervisionKind) : "process";
  } catch {
    return "process";
  }
}

/** Whether the run folder names a kind. */
export const isNamed = (): boolean => existsSync(supervisionFile(paths().run));

/** A hint as a sentence of its own. */
export const asSentence = (hint: string): string => `${hint.charAt(0).toUpperCase()}${hint.slice(1)}.`;
