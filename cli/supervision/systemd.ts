import { existsSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import type { Launch } from "#cli/launch/launch-flags.js";
import { alone } from "#cli/supervision/alone.js";
import { forgetLaunch, keepLaunch } from "#cli/supervision/kept-launch.js";
import { saveLastLaunch, writeSupervisionFile } from "#cli/supervision/launch-files.js";
import { waitUntilReady } from "#cli/supervision/ready.js";
import { checkNextStart } from "#cli/supervision/supervised-start.js";
import type { Launched, Supervision } from "#cli/supervision/supervision.js";
import { Exit } from "#cli/support/exit.js";
import { lastFailure } from "#cli/support/processes.js";
import { asSentence, supervised } from "#cli/support/supervised.js";
import { hasSystemd, systemctl, UNIT, type UnitState, unitState } from "#cli/support/systemctl.js";
import { WeaveError } from "#src/errors.js";
import { installedFile } from "#src/installation.js";
import { failureFile, keptLaunchFile, paths } from "#src/paths.js";

/** The unit weave.service of systemd. A router that was launched with it comes back after a reboot. */
export const systemdSupervision = (): Supervision => ({
  ...supervised("systemd"),
  start,
  stop,
  restart: () => alone(restart),
  retire,
  remove,
});

const logHint = (): string => supervised("systemd").logHint;

async function start(launch: Launch): Promise<string> {
  const last = lastKept();
  keepLaunch(launch, process.env);
  writeSupervisionFile("systemd");
  const wasEnabled = (await systemctl("is-enabled", "--quiet", UNIT)).ok;
  // Before the wait for the router: the user may end that.
  const enabled = await systemctl("enable", "--quiet", UNIT);
  try {
    await startUnit("start");
  } catch (error) {
    await systemctl("stop", UNIT);
    if (!wasEnabled) await systemctl("disable", "--quiet", UNIT);
    restoreKept(last);
    throw error;
  }
  saveLastLaunch(launch.options);
  if (!enabled.ok) process.stderr.write(`WARNING: after a reboot weave does not start by itself: ${enabled.why}\n`);
  return UNIT;
}

async function stop(): Promise<boolean> {
  if (!(await supervised("systemd").isOn())) return false;
  const { ok, why } = await systemctl("stop", UNIT);
  if (!ok) throw new Exit(1, `systemd cannot stop ${UNIT}: ${why}`);
  // The reason of an end before is of no interest any more.
  rmSync(failureFile(paths().run), { force: true });
  return true;
}

async function restart(): Promise<void> {
  // Before the old router ends: it runs on if the new one could not start.
  checkNextStart();
  rmSync(failureFile(paths().run), { force: true });
  await startUnit("restart");
}

async function remove(): Promise<void> {
  await systemctl("disable", "--quiet", UNIT);
  await systemctl("reset-failed", UNIT);
  forgetLaunch();
}

/** The unit starts routers at a boot: one that does not come back then leaves the boot to the unit. */
async function retire({ kind }: Launched): Promise<void> {
  if (kind === "process" || !hasSystemd() || !isOnHost()) return;
  if (existsSync(keptLaunchFile()) || (await systemctl("is-enabled", "--quiet", UNIT)).ok) await remove();
}

/** Has systemd start the unit, and waits until the router is ready. @throws Exit with the router's own reason if it cannot start */
async function startUnit(verb: "start" | "restart"): Promise<void> {
  if ((await unitState())?.NeedDaemonReload === "yes") await systemctl("daemon-reload");
  let ended: { ok: boolean; why: string } | undefined;
  void systemctl(verb, UNIT).then((result) => {
    ended = result;
  });
  const failure = () => (ended === undefined || ended.ok ? undefined : failureText(ended.why));
  // The old router may answer before systemd has stopped it.
  const isStarted = () => verb === "start" || ended?.ok === true;
  await waitUntilReady({ what: UNIT, logHint: logHint(), failure, isStarted });
}

function failureText(why: string): string {
  // systemctl's own text only advises to read the log.
  const generic = /^Job for weave\.service failed|^Job for weave\.service canceled/.test(why);
  return lastFailure() ?? `The weave router has died. ${asSentence(logHint())}${generic ? "" : `\n${why}`}`;
}

function lastKept(): string | undefined {
  try {
    return readFileSync(keptLaunchFile(), "utf8");
  } catch {
    return undefined;
  }
}

/** The options of a launch that failed must not come back at the next boot. */
function restoreKept(text: string | undefined): void {
  forgetLaunch();
  if (text !== undefined) writeFileSync(keptLaunchFile(), text, { mode: 0o600 });
}

/**
 * Whether a launch on this host uses the unit: systemd runs, the unit is installed and starts this installation, and this command
 * uses the network and the folders of the host.
 *
 * @throws WEAVE_INSTALLATION when an administrator has masked the unit
 */
export async function unitIsUsable(): Promise<boolean> {
  if (!hasSystemd() || !isOnHost()) return false;
  const unit = await unitState();
  if (unit === undefined || unit.LoadState === "not-found") return false;
  if (unit.LoadState === "masked")
    throw new WeaveError("WEAVE_INSTALLATION", `${UNIT} is masked: systemd may not start it`, {
      next: "'systemctl unmask weave' permits it; 'weave launch --foreground' runs the router without it.",
    });
  const reason = obstacleOf(unit);
  if (reason === undefined) return true;
  process.stderr.write(
    `WARNING: ${UNIT} is not used: ${reason}. The router starts without it, and does not come back after a reboot.\n`,
  );
  return false;
}

/** Why a unit cannot start the router of this installation; undefined if it can. */
function obstacleOf({ LoadState, ExecStart }: UnitState): string | undefined {
  if (LoadState !== "loaded") return `systemd cannot use its file (${LoadState})`;
  const program = /--supervised systemd/.test(ExecStart) ? /path=(\S+)/.exec(ExecStart)?.[1] : undefined;
  if (program === undefined) return "it is not weave's own, or of another version";
  return isOfThisInstallation(program) ? undefined : `it starts another installation, ${program}`;
}

/** Whether a program belongs to the installation of this command. */
function isOfThisInstallation(program: string): boolean {
  try {
    const [real, router] = [realpathSync(program), realpathSync(installedFile("#router/main.js"))];
    // The folder of the application: of lib/weave/weave, or of bin/weave in it.
    const folder = real.slice(0, real.lastIndexOf("/")).replace(/\/bin$/, "");
    return router.startsWith(`${folder}/`);
  } catch {
    return false;
  }
}

/** Whether this command uses the host's own network namespace and the usual folders, as the unit does. */
function isOnHost(): boolean {
  const usual = paths({});
  if (JSON.stringify(paths()) !== JSON.stringify(usual)) return false;
  try {
    return readlinkSync("/proc/self/ns/net") === readlinkSync("/proc/1/ns/net");
  } catch {
    return false;
  }
}
