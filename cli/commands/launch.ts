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

const POLL_MS = 10;
/** A router that has not answered by then is stuck: that is an error, not a longer wait. An emulated machine takes 21 s. */
const READY_MS = 60_000;
/** A starting router may leave a request unanswered: it is repeated. */
const ANSWER_MS = 1_000;
/** As a shell counts an end by a signal. */
const INTERRUPTED = { SIGINT: 130, SIGTERM: 143 } as const;

/** `weave launch [flags] [peer…]`: returns when the router answers; prints the id of the process that keeps it running. */
export async function run(args: readonly string[]): Promise<void> {
  const { options: given, foreground } = parseLaunch(args, process.env);
  // Other users of this host can read the arguments of a process, and a password may be among them.
  process.title = "weave launch";
  requireRoot();
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  const complete = given.resume ? resumed(given, parseLaunch([], process.env).options, say) : given;
  const options = withPassword(complete, say);
  routerOptions(options);
  const { run } = paths();
  // Docker's users must reach the proxy's socket in it; private files have modes of their own.
  mkdirSync(run, { recursive: true, mode: 0o755 });
  chmodSync(run, 0o755);
  if (!claimPid(launchingFile(run)))
    throw new WeaveError("WEAVE_RUNNING", "another 'weave launch' is at work on this host", {
      next: "'weave status' shows what has become of it; 'weave stop' ends it.",
    });
  try {
    await launch(options, foreground, run);
  } finally {
    removePid(launchingFile(run));
  }
}

async function launch(options: LaunchOptions, foreground: boolean, run: string): Promise<void> {
  const { supervisor, router } = runningProcesses();
  if (supervisor !== undefined || router !== undefined) {
    throw new WeaveError("WEAVE_RUNNING", "weave is already running; you can stop it with 'weave stop'.");
  }
  await checkRange(options);
  await checkEngine(options.docker.api, process.env);
  // Files of the last run: later ones are of this run.
  for (const file of [failureFile(run), routerFile(run)]) rmSync(file, { force: true });
  // It may hold the password: only root may read it.
  writeFileSync(launchFile(run), JSON.stringify(options), { mode: 0o600 });
  chmodSync(launchFile(run), 0o600);
  const { WEAVE_PASSWORD: _, ...env } = process.env;
  if (foreground) {
    remember(options);
    replaceProcess(process.execPath, [program("main"), "--foreground"], env);
  }
  const child = await started(options.restart ? [] : ["--no-restart"], env);
  writePid(supervisorFile(run), child.pid!);
  await ready(child, run);
  remember(options);
  process.stdout.write(`${child.pid}\n`);
}

/** For `--resume` of the next launch. */
function remember(options: LaunchOptions): void {
  const file = lastLaunchFile(options.dbPrefix);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, lastLaunchText(options), { mode: 0o600 });
  } catch (error) {
    process.stderr.write(`WARNING: 'launch --resume' will not know of this launch: ${errorText(error)}\n`);
  }
}

const program = (name: "main" | "supervisor") => new URL(`../../router/${name}.js`, import.meta.url).pathname;

/** Starts the supervisor. @throws Exit when it cannot be started */
async function started(args: readonly string[], env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  try {
    const child = spawn(process.execPath, [program("supervisor"), ...args], { detached: true, stdio: "ignore", env });
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    // It outlives this command, also when the wait for it ends early.
    child.unref();
    return child;
  } catch (error) {
    throw new Exit(1, `cannot start ${process.execPath}: ${errorText(error)}`);
  }
}

/** A range that clashes with a network of this host would take it away from its users. @throws Exit for the default one */
async function checkRange({ ipallocRange: range, bridge }: LaunchOptions): Promise<void> {
  // The router checks whether it is a range at all.
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

/** Waits until the router answers. @throws Exit with its own words when it cannot start */
async function ready(child: ChildProcess, run: string): Promise<void> {
  const address = controlSocket(run);
  const goesOn = `It goes on starting in the background (process ${child.pid}): 'weave status' shows it, 'weave stop' ends it.`;
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      process.stderr.write(`No longer waiting for the router.\n${goesOn}\n`);
      removePid(launchingFile(run));
      process.exit(INTERRUPTED[signal]);
    });
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const reply = await call({ path: "/status", address, answerMs: ANSWER_MS }).catch(() => undefined);
    if (reply?.status === 200) return;
    if (child.exitCode !== null || child.signalCode !== null) throw new Exit(1, failure(child));
    if (Date.now() > deadline)
      throw new Exit(
        1,
        `The router has not answered within ${READY_MS / 1_000} s.\n${goesOn}\nIts log is ${paths().log}.`,
      );
    await sleep(POLL_MS);
  }
}

function failure(child: ChildProcess): string {
  if (child.exitCode === 0) return "weave was stopped before it was ready.";
  return lastFailure() ?? `The weave router has died. Consult its log for further details: ${paths().log}`;
}
