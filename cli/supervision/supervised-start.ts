import { writeFileSync } from "node:fs";
import { type Launch, parseLaunch } from "#cli/launch/launch-flags.js";
import { withPassword } from "#cli/launch/password-file.js";
import { ARGUMENTS, fileVariables, withFile } from "#cli/supervision/environment-file.js";
import { becomeRouter } from "#cli/supervision/foreground.js";
import { isNewLaunch, joined, keptLaunch } from "#cli/supervision/kept-launch.js";
import { writeLaunchFile } from "#cli/supervision/launch-files.js";
import { Exit } from "#cli/support/exit.js";
import { managedPlugin, runningText } from "#cli/support/managed-plugin.js";
import { runningProcesses } from "#cli/support/processes.js";
import { EXIT_CONFIG, exitStatusOf } from "#router/exit-status.js";
import type { LaunchOptions } from "#router/options.js";
import { errorText } from "#src/errors.js";
import { writingIn } from "#src/file-error.js";
import { checkInstallation } from "#src/installation.js";
import { failureFile, paths, supervisionFile } from "#src/paths.js";
import { makePublicFolder } from "#src/public-folder.js";
import { requireRoot } from "#src/root.js";

type Kind = "systemd" | "container";

/** The service manager or engine that has started this command; undefined when a user has. */
export function supervisedKind(args: readonly string[]): Kind | undefined {
  const kind = args[args.indexOf("--supervised") + 1];
  return args.includes("--supervised") && (kind === "systemd" || kind === "container") ? kind : undefined;
}

/**
 * Becomes the router that systemd or an engine has started: with the options of the last launch, if one was kept, else with the
 * arguments (WEAVE_ARGS) and variables of the unit or container. A failure is noted for `weave launch` and `weave status`.
 *
 * @param args the arguments of this command
 * @throws Exit with status EXIT_CONFIG if another start would fail, too
 */
export function superviseStart(args: readonly string[], kind: Kind): never {
  requireRoot();
  const { run } = paths();
  writingIn(run, "WEAVE_RUN_DIR", () => makePublicFolder(run));
  // The last router of this unit or container has ended. Files of another one must not be touched.
  const other = Object.values(runningProcesses()).find((pid) => pid !== undefined);
  if (other !== undefined)
    throw new Exit(
      EXIT_CONFIG,
      managedPlugin() === undefined
        ? `weave runs already on this host (process ${other}); 'weave stop' ends it.`
        : runningText(),
    );
  let start: Start;
  try {
    checkInstallation();
    start = optionsOf(args, process.env);
    writeLaunchFile(start.options, kind);
  } catch (error) {
    const why = errorText(withFile(error));
    writeFileSync(supervisionFile(run), kind);
    writeFileSync(failureFile(run), `${why}\n`, { mode: 0o600 });
    throw new Exit(exitStatusOf(error, true), why);
  }
  becomeRouter([`--supervised=${kind}`, ...(start.again ? ["--restarted"] : [])], {
    ...process.env,
    ...start.variables,
  });
}

interface Start {
  readonly options: LaunchOptions;
  readonly variables: NodeJS.ProcessEnv;
  /** Whether it uses the targets of the last run, which the database has. */
  readonly again: boolean;
}

/**
 * Checks that the unit could start a router now, with the stored launch and the variables of its file.
 *
 * @throws WeaveError with the reason and its place
 */
export function checkNextStart(): void {
  try {
    const variables = fileVariables();
    optionsOf((variables[ARGUMENTS] ?? "").split(/\s+/).filter(Boolean), variables);
  } catch (error) {
    throw withFile(error);
  }
}

/** @throws WEAVE_FLAG_INVALID, WEAVE_FLAG_UNKNOWN, WEAVE_PEER_INVALID */
function optionsOf(args: readonly string[], env: NodeJS.ProcessEnv): Start {
  // Rejects variables that have no effect in the file; the others are in `env`.
  fileVariables();
  const warn = (text: string) => void process.stderr.write(`${text}\n`);
  const now: Launch = parseLaunch(args, env);
  const kept = keptLaunch();
  const resolved = (options: LaunchOptions) => withPassword(options, warn);
  if (kept === undefined)
    return { options: resolved(now.options), variables: {}, again: now.options.peers.length === 0 };
  const ownPassword = kept.given.some((key) => key === "password" || key === "passwordFile");
  const options = joined(kept, now);
  return { options: ownPassword ? options : resolved(options), variables: kept.variables, again: !isNewLaunch() };
}
