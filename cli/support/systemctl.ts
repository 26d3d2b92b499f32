import { execFile } from "node:child_process";
import { existsSync } from "node:fs";

/** The unit that keeps a router running (packaging/systemd/weave.service). */
export const UNIT = "weave.service";

/** Whether systemd is the first process of this host (sd_booted(3)). */
export const hasSystemd = (): boolean => existsSync("/run/systemd/system");

/** Result of a call of systemctl. */
export interface SystemctlResult {
  readonly ok: boolean;
  /** Its error output, if it failed. */
  readonly why: string;
  readonly output: string;
}

/** Runs systemctl. A failure is a result. Jobs have time limits of their own. */
export function systemctl(...args: string[]): Promise<SystemctlResult> {
  return new Promise((resolve) => {
    execFile("systemctl", args, { env: { ...process.env, LC_ALL: "C" } }, (error, stdout, stderr) =>
      resolve({ ok: error === null, why: error === null ? "" : stderr.trim() || error.message, output: stdout }),
    );
  });
}

/** Properties of the unit (systemctl(1), org.freedesktop.systemd1(5)). */
export interface UnitState {
  /** `loaded`, `not-found`, `masked`, `error` or `bad-setting`. */
  readonly LoadState: string;
  /** `active`, `activating`, `deactivating`, `reloading`, `inactive` or `failed`. */
  readonly ActiveState: string;
  readonly ExecStart: string;
  /** `yes`: the file on disk is newer. */
  readonly NeedDaemonReload: string;
}

/** State of the unit; undefined when systemd does not answer. */
export async function unitState(): Promise<UnitState | undefined> {
  const names = ["LoadState", "ActiveState", "ExecStart", "NeedDaemonReload"];
  const { ok, output } = await systemctl("show", UNIT, `--property=${names.join(",")}`);
  if (!ok) return undefined;
  const pairs = output.split("\n").map((line) => [line.replace(/=.*/, ""), line.replace(/^[^=]*=/, "")]);
  return { ...Object.fromEntries(names.map((name) => [name, ""])), ...Object.fromEntries(pairs) } as UnitState;
}
