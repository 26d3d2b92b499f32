import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Launch } from "#cli/launch/launch-flags.js";
import { alone } from "#cli/supervision/alone.js";
import { saveLastLaunch, writeLaunchFile } from "#cli/supervision/launch-files.js";
import { type Waiting, waitUntilReady } from "#cli/supervision/ready.js";
import type { Supervision } from "#cli/supervision/supervision.js";
import { Exit } from "#cli/support/exit.js";
import { lastFailure, runningProcesses } from "#cli/support/processes.js";
import { progress } from "#cli/support/progress.js";
import { supervised } from "#cli/support/supervised.js";
import { type LaunchOptions, parseOptions } from "#router/options.js";
import { stopRunning } from "#router/running.js";
import { errorText, WeaveError } from "#src/errors.js";
import { installedFile } from "#src/installation.js";
import { type CommandLine, restricted } from "#src/linux/setpriv.js";
import { ROUTER_NODE_FLAGS } from "#src/node-flags.js";
import { failureFile, launchFile, paths, supervisorFile } from "#src/paths.js";
import { livePid, writePid } from "#src/pid-file.js";

/** Interval between checks whether the new supervisor has replaced the old one. */
const POLL_MS = 10;
/** Interval between checks whether setpriv has become the supervisor: it takes some 3 ms. */
const EXEC_POLL_MS = 1;

/** A detached supervisor process (router/supervisor/). The next boot does not start it again. */
export const processSupervision = (): Supervision => ({
  ...supervised("process"),
  start,
  stop: stopRunning,
  restart,
  // It starts none: at a launch no supervisor runs.
  retire: async () => {},
  remove: async () => {},
});

async function start({ options }: Launch): Promise<string> {
  writeLaunchFile(options, "process");
  const child = await startSupervisor(options.restart ? [] : ["--no-restart"]);
  await untilReady(child);
  saveLastLaunch(options);
  return String(child.pid);
}

async function restart(): Promise<void> {
  const { router, supervisor } = runningProcesses();
  if (supervisor === undefined && router !== undefined && isInForeground(router))
    throw new Exit(
      1,
      `The router (process ${router}) runs in the foreground: only what started it can start it again.\nEnd it there, or by 'weave stop'.`,
    );
  await alone(() => replace(environmentOf(supervisor ?? router)));
}

/** Starts a supervisor in place of the one that runs. @param env of the new one */
async function replace(env: NodeJS.ProcessEnv): Promise<void> {
  // Before the old router ends: without these options there would be no new one.
  const options = launchedOptions();
  // It loads the new version and checks options and database while the old router still forwards frames; then it ends that router.
  const child = await startSupervisor(["--restarted", "--replace", ...(options.restart ? [] : ["--no-restart"])], env);
  await progress("loading the new router, while the old one runs", () => untilReplaced(child));
  await untilReady(child, () => {
    const why = lastFailure();
    // The supervisor tries it again, as after a crash: a host should not stay without a router.
    return (
      why && `The router does not start again: ${why}\nFurther attempts follow; ${hint()}; 'weave stop' ends them.`
    );
  });
}

/** Waits until the new router has ended the old one. @throws Exit when it cannot start: the old one then runs on */
async function untilReplaced(child: ChildProcess): Promise<void> {
  const { run } = paths();
  while (livePid(supervisorFile(run)) !== child.pid) {
    if (child.exitCode !== null || child.signalCode !== null) {
      const why = failureText(child);
      const runsOn = runningProcesses().router !== undefined;
      // It is not the failure of the router that runs.
      if (runsOn) rmSync(failureFile(run), { force: true });
      throw new Exit(1, `The router does not start again: ${why}${runsOn ? "\nThe old one runs on." : ""}`);
    }
    await sleep(POLL_MS);
  }
}

const hint = (): string => supervised("process").logHint;

/** The options of the last launch. @throws WEAVE_FLAG_INVALID when they cannot be read */
function launchedOptions(): LaunchOptions {
  const file = launchFile(paths().run);
  try {
    return parseOptions(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    throw new WeaveError("WEAVE_FLAG_INVALID", `cannot use the options of the last launch: ${errorText(cause)}`, {
      cause,
      next: "The router runs on as it is. 'weave stop', then 'weave launch' with all flags, starts a new one.",
    });
  }
}

/** The environment of a process: Docker's settings are in it, and may differ from those of this shell. */
function environmentOf(pid: number | undefined): NodeJS.ProcessEnv {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
    return Object.fromEntries(entries.map((entry) => [entry.replace(/=.*/s, ""), entry.replace(/^[^=]*=/, "")]));
  } catch {
    return process.env;
  }
}

function isInForeground(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes("--foreground");
  } catch {
    // It has ended since.
    return false;
  }
}

async function untilReady(child: ChildProcess, failed: Waiting["failure"] = () => undefined): Promise<void> {
  const failure = () => (child.exitCode !== null || child.signalCode !== null ? failureText(child) : failed());
  await waitUntilReady({ what: `process ${child.pid}`, logHint: hint(), failure });
}

/** Starts the supervisor, with the capabilities of a router if possible. @throws Exit when it cannot be started */
async function startSupervisor(args: readonly string[], given = process.env): Promise<ChildProcess> {
  const { WEAVE_PASSWORD: _, ...env } = given;
  const { run, log } = paths();
  const router = [process.execPath, ...ROUTER_NODE_FLAGS, installedFile("#router/main.js")];
  const command = [installedFile(`#native/linux-${process.arch}/supervisor`), ...args, run, log, ...router] as const;
  try {
    const child = (await startRestricted(command, env)) ?? (await startDetached(command, env));
    // The supervisor outlives this command, also when the wait for the router is interrupted.
    child.unref();
    if (!args.includes("--replace")) writePid(supervisorFile(run), child.pid!);
    return child;
  } catch (error) {
    throw new Exit(1, `cannot start ${command[0]}: ${errorText(error)}`);
  }
}

/**
 * Starts a program behind setpriv, and waits until it runs. Without setpriv, or where that fails, there is a router with all capabilities, which
 * its status shows.
 */
async function startRestricted(command: CommandLine, env: NodeJS.ProcessEnv): Promise<ChildProcess | undefined> {
  const line = restricted(command);
  const child = line && (await startDetached(line, env).catch(() => undefined));
  if (child === undefined) return undefined;
  const program = realpathSync(command[0]);
  while (child.exitCode === null && child.signalCode === null) {
    if (programOf(child.pid!) === program) return child;
    await sleep(EXEC_POLL_MS);
  }
  return undefined;
}

/** The file that a process runs; undefined when it has ended. */
function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

/** @throws Error when the program cannot be started */
async function startDetached([file, ...args]: CommandLine, env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const child = spawn(file, args, { detached: true, stdio: "ignore", env });
  await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  return child;
}

function failureText(child: ChildProcess): string {
  if (child.exitCode === 0) return "weave was stopped before it was ready.";
  return lastFailure() ?? `The weave router has died. Consult its log for further details: ${paths().log}`;
}
