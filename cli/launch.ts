import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_RANGE } from "#router/flags.js";
import type { RouterOptions } from "#router/options.js";
import { WeaveError } from "#src/errors.js";
import { overlappingRoute } from "#src/host/routes.js";
import { controlSocket, failureFile, launchFile, paths } from "#src/paths.js";
import { call } from "./client.js";
import { Exit } from "./exit.js";
import { parseLaunch } from "./launch-flags.js";
import { running } from "./processes.js";
import { needRoot } from "./root.js";

const POLL_MS = 10;
/** A router that has not answered by then is stuck: say so, rather than wait for ever. An emulated machine takes 21 s. */
const READY_MS = 60_000;

/** `weave launch [flags] [peer…]`: returns when the router answers; prints the id of the process that keeps it running. */
export async function run(args: readonly string[]): Promise<void> {
  const { options, foreground } = parseLaunch(args, process.env);
  needRoot();
  const { run } = paths();
  const { supervisor, router } = running();
  if (supervisor !== undefined || router !== undefined) {
    throw new WeaveError("WEAVE_RUNNING", "weave is already running; you can stop it with 'weave stop'.");
  }
  await checkRange(options);
  // Docker's users must be able to reach the proxy's socket in it; what is ours alone has modes of its own.
  mkdirSync(run, { recursive: true, mode: 0o755 });
  chmodSync(run, 0o755);
  rmSync(failureFile(run), { force: true });
  // It may hold the password: only root may read it.
  writeFileSync(launchFile(run), JSON.stringify(options), { mode: 0o600 });
  chmodSync(launchFile(run), 0o600);
  if (foreground) {
    process.argv.push("--foreground");
    await import("#router/main.js");
    return;
  }
  const program = new URL("../router/supervisor.js", import.meta.url).pathname;
  const child = spawn(process.execPath, [program, ...(options.restart ? [] : ["--no-restart"])], {
    detached: true,
    stdio: "ignore",
  });
  // It outlives us, also where we give up waiting for it.
  child.unref();
  await ready(child, run);
  process.stdout.write(`${child.pid}\n`);
}

/** A range that clashes with a network of this host would take it away from its users. @throws Exit for the default one */
async function checkRange({ ipallocRange: range, bridge }: RouterOptions): Promise<void> {
  // Whether it is a range at all is for the router to say.
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
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const reply = await call({ path: "/status", address }).catch(() => undefined);
    if (reply?.status === 200) return;
    if (child.exitCode !== null || child.signalCode !== null) throw new Exit(1, failure(run));
    if (Date.now() > deadline)
      throw new Exit(1, `The router does not answer.\nSee its log, ${paths().log}; 'weave stop' ends it.`);
    await sleep(POLL_MS);
  }
}

function failure(run: string): string {
  try {
    return readFileSync(failureFile(run), "utf8").trimEnd();
  } catch {
    return `The weave router has died. Consult its log for further details: ${paths().log}`;
  }
}
