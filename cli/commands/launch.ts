import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { printDocument } from "#cli/json/document.js";
import { checkEngine } from "#cli/launch/check-engine.js";
import { waitForDocker } from "#cli/launch/docker-ready.js";
import { keepTunnel } from "#cli/launch/kept-tunnel.js";
import { type Launch, parseLaunch } from "#cli/launch/launch-flags.js";
import { withPassword } from "#cli/launch/password-file.js";
import { resumed } from "#cli/launch/resume.js";
import { alone } from "#cli/supervision/alone.js";
import { becomeRouter } from "#cli/supervision/foreground.js";
import { retireOthers, supervisionForLaunch, supervisionHere } from "#cli/supervision/here.js";
import { isNewLaunch, keptLaunch } from "#cli/supervision/kept-launch.js";
import { saveLastLaunch, writeLaunchFile } from "#cli/supervision/launch-files.js";
import { supervisedKind, superviseStart } from "#cli/supervision/supervised-start.js";
import { Exit } from "#cli/support/exit.js";
import { requireKernel } from "#cli/support/kernel.js";
import { runningText } from "#cli/support/managed-plugin.js";
import { progress } from "#cli/support/progress.js";
import { DEFAULT_RANGE } from "#router/addresses/flags.js";
import { type LaunchOptions, routerOptions } from "#router/options.js";
import { passwordWeakness } from "#router/peers/password-strength.js";
import { WeaveError } from "#src/errors.js";
import { fileRemedy, freeBytes, writingIn } from "#src/file-error.js";
import { checkInstallation } from "#src/installation.js";
import { overlappingRoute } from "#src/linux/routes/routes.js";
import { makeFolder } from "#src/make-folder.js";
import { paths } from "#src/paths.js";
import { requireRoot } from "#src/root.js";

/** Space that the files of a router take in the run folder. With less, the reason of a failed start would be lost. */
const RUN_BYTES = 64 << 10;

/** `weave launch [flags] [peer…]`: returns when the router answers; prints the id of the process that keeps it running. */
export async function run(args: readonly string[]): Promise<void> {
  // First of all: the failure of a start without a user must be noted, also that of the flags.
  const kind = supervisedKind(args);
  if (kind !== undefined) return superviseStart(args, kind);
  const parsed = parseLaunch(args, process.env);
  // Other users of this host can read the arguments of a process, and a password may be among them.
  process.title = "weave launch";
  requireRoot();
  requireKernel();
  checkInstallation();
  const { options: typed, ...launch } = parsed.image === "" ? parsed : await (await containers()).inContainer(parsed);
  const warn = (text: string) => void process.stderr.write(`${text}\n`);
  const complete = typed.resume
    ? resumed(withKeptPassword(typed, parsed.image), parseLaunch([], process.env).options, warn)
    : typed;
  const options = withPassword(complete, warn);
  const weakness = options.password === undefined ? undefined : passwordWeakness(options.password);
  if (weakness !== undefined) warn(`WARNING: the password is ${weakness}`);
  routerOptions(options);
  const runDir = paths().run;
  writingIn(runDir, "WEAVE_RUN_DIR", () => {
    // Users of Docker must reach the proxy's socket in this folder. Private files in it have their own modes.
    makeFolder(runDir, 0o755);
    chmodSync(runDir, 0o755);
    if (freeBytes(runDir) < RUN_BYTES)
      throw new WeaveError("WEAVE_FILE", `${runDir} has less than ${RUN_BYTES >> 10} KB left`, {
        next: fileRemedy("no space left", runDir, "WEAVE_RUN_DIR"),
      });
  });
  // --resume can have found the password.
  const given = options.password === undefined ? launch.given : [...launch.given, "password"];
  await alone(() => start({ ...launch, given, options }));
}

const containers = () => import("#cli/supervision/container/state.js");

/** The options of `launch --resume` with the password of the last launch that succeeded, where that is kept for the next boot. */
function withKeptPassword(options: LaunchOptions, image: string): LaunchOptions {
  if (options.password !== undefined || options.passwordFile !== undefined) return options;
  // A container's is beside its database.
  const env = image === "" ? process.env : { WEAVE_STATE_DIR: dirname(options.dbPrefix) };
  return isNewLaunch(env) ? options : { ...options, password: keptLaunch(env)?.options.password };
}

/** Starts the router. @throws Exit and WeaveError when it cannot start */
async function start(launch: Launch): Promise<void> {
  const { options, foreground } = launch;
  const here = await supervisionHere();
  // A container is no obstacle when it has ended: its engine knows.
  if (!(here.kind === "container" && launch.image !== "") && (await here.isOn())) {
    throw new WeaveError("WEAVE_RUNNING", runningText());
  }
  await progress("looking at the host's routes and engine", async () => {
    await checkRange(options);
    await checkEngine(options.docker.api, process.env);
  });
  if (foreground) {
    writeLaunchFile(options, "process");
    saveLastLaunch(options);
    becomeRouter([]);
  }
  const supervision = await supervisionForLaunch(launch);
  await keepTunnel(supervision.kind, options, (text) => void process.stderr.write(`${text}\n`));
  const id = await progress("starting the router", () => supervision.start(launch));
  await retireOthers({ kind: supervision.kind, options });
  await progress("waiting for Docker's network", waitForDocker);
  if (launch.given.includes("json")) return printDocument("launch", { Id: id, Supervision: supervision.kind });
  process.stdout.write(`${id}\n`);
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
