import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkEngine } from "#cli/launch/check-engine.js";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { withPassword } from "#cli/launch/password-file.js";
import { lastLaunchText, resumed } from "#cli/launch/resume.js";
import { call } from "#cli/support/client.js";
import { Exit } from "#cli/support/exit.js";
import { lastFailure, runningProcesses } from "#cli/support/processes.js";
import { DEFAULT_RANGE } from "#router/addresses/flags.js";
import { type LaunchOptions, routerOptions } from "#router/options.js";
import { errorText, WeaveError } from "#src/errors.js";
import { installedFile } from "#src/installation.js";
import { replaceProcess } from "#src/linux/native/process.js";
import { overlappingRoute } from "#src/linux/routes/routes.js";
import {
  controlSocket,
  failureFile,
  lastLaunchFile,
  launchFile,
  launchingFile,
  paths,
  routerFile,
  supervisorFile,
} from "#src/paths.js";
import { claimPid, removePid, writePid } from "#src/pid-file.js";
import { requireRoot } from "#src/root.js";

/** Interval between checks whether the router answers. */
const POLL_MS = 10;
/** Limit for the start of the router: above the 21 s of an emulated machine. A router that takes longer hangs. */
const READY_MS = 60_000;
/** Limit for one check. A starting router may leave a request unanswered. */
const ANSWER_MS = 1_000;
/** Exit statuses after a signal, as shells define them: 128 and the signal's number. */
const INTERRUPTED = { SIGINT: 130, SIGTERM: 143 } as const;

/** `weave launch [flags] [peer…]`: returns when the router answers; prints the id of the process that keeps it running. */
export async function run(args: readonly string[]): Promise<void> {
  const { options: given, foreground } = parseLaunch(args, process.env);
  // Other users of this host can read the arguments of a process, and a password may be among them.
  process.title = "weave launch";
  requireRoot();
  const warn = (text: string) => void process.stderr.write(`${text}\n`);
  const complete = given.resume ? resumed(given, parseLaunch([], process.env).options, warn) : given;
  const options = withPassword(complete, warn);
  routerOptions(options);
  const runDir = paths().run;
  // Users of Docker must reach the proxy's socket in this folder. Private files in it have their own modes.
  mkdirSync(runDir, { recursive: true, mode: 0o755 });
  chmodSync(runDir, 0o755);
  if (!claimPid(launchingFile(runDir)))
    throw new WeaveError("WEAVE_RUNNING", "another 'weave launch' is in progress on this host", {
      next: "'weave status' shows the router when it answers; 'weave stop' ends it.",
    });
  try {
    await launch(options, foreground, runDir);
  } finally {
    removePid(launchingFile(runDir));
  }
}

/** Starts the router. @throws Exit and WeaveError when it cannot start */
async function launch(options: LaunchOptions, foreground: boolean, runDir: string): Promise<void> {
  const { supervisor, router } = runningProcesses();
  if (supervisor !== undefined || router !== undefined) {
    throw new WeaveError("WEAVE_RUNNING", "weave is already running; you can stop it with 'weave stop'.");
  }
  await checkRange(options);
  await checkEngine(options.docker.api, process.env);
  // Files of the previous run would be mistaken for files of this one.
  for (const file of [failureFile(runDir), routerFile(runDir)]) rmSync(file, { force: true });
  // Only root may read the file: it may contain the password.
  writeFileSync(launchFile(runDir), JSON.stringify(options), { mode: 0o600 });
  chmodSync(launchFile(runDir), 0o600);
  const { WEAVE_PASSWORD: _, ...env } = process.env;
  if (foreground) {
    saveLastLaunch(options);
    replaceProcess(process.execPath, [installedFile("#router/main.js"), "--foreground"], env);
  }
  const child = await startSupervisor(options.restart ? [] : ["--no-restart"], env);
  writePid(supervisorFile(runDir), child.pid!);
  await waitUntilReady(child, runDir);
  saveLastLaunch(options);
  process.stdout.write(`${child.pid}\n`);
}

/** Stores the options for `--resume` of the next launch. A failure is only a warning. */
function saveLastLaunch(options: LaunchOptions): void {
  const file = lastLaunchFile(options.dbPrefix);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, lastLaunchText(options), { mode: 0o600 });
  } catch (error) {
    process.stderr.write(`WARNING: this launch is not stored for 'launch --resume': ${errorText(error)}\n`);
  }
}

/** Starts the supervisor. @throws Exit when it cannot be started */
async function startSupervisor(args: readonly string[], env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  try {
    const child = spawn(process.execPath, [installedFile("#router/supervisor.js"), ...args], {
      detached: true,
      stdio: "ignore",
      env,
    });
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    // The supervisor outlives this command, also when the wait for the router is interrupted.
    child.unref();
    return child;
  } catch (error) {
    throw new Exit(1, `cannot start ${process.execPath}: ${errorText(error)}`);
  }
}

/** Checks the range against the host's routes: traffic to an overlapping network would go to weave. @throws Exit if the default range overlaps */
async function checkRange({ ipallocRange: range, bridge }: LaunchOptions): Promise<void> {
  // An invalid range is reported by the router.
  const route = range === "" ? undefined : await overlappingRoute(range, bridge).catch(() => undefined);
  if (route === undefined) return;
  process.stderr.write(`Network ${range} overlaps with existing route ${route} on host\n`);
  if (range === DEFAULT_RANGE) {
    throw new Exit(
      1,
      `ERROR: Default --ipalloc-range ${range} overlaps with existing route on host.\nYou must pick another range and set it on all hosts.`,
    );
  }
  process.stderr.write(
    `WARNING: Specified --ipalloc-range ${range} overlaps with existing route on host.\nUnless this is deliberate, you should pick another range and set it on all hosts.\n`,
  );
}

/** Waits until the router answers. @throws Exit, with the router's own error if it cannot start */
async function waitUntilReady(child: ChildProcess, runDir: string): Promise<void> {
  const address = controlSocket(runDir);
  const stillStarting = `It continues to start in the background (process ${child.pid}): 'weave status' shows it, 'weave stop' ends it.`;
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      process.stderr.write(`No longer waiting for the router.\n${stillStarting}\n`);
      removePid(launchingFile(runDir));
      process.exit(INTERRUPTED[signal]);
    });
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const reply = await call({ path: "/status", address, answerMs: ANSWER_MS }).catch(() => undefined);
    if (reply?.status === 200) return;
    if (child.exitCode !== null || child.signalCode !== null) throw new Exit(1, failureText(child));
    if (Date.now() > deadline)
      throw new Exit(
        1,
        `The router has not answered within ${READY_MS / 1_000} s.\n${stillStarting}\nIts log is ${paths().log}.`,
      );
    await sleep(POLL_MS);
  }
}

function failureText(child: ChildProcess): string {
  if (child.exitCode === 0) return "weave was stopped before it was ready.";
  return lastFailure() ?? `The weave router has died. Consult its log for further details: ${paths().log}`;
}
