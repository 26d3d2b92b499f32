import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { systemCode, WeaveError } from "#src/errors.js";

/** Longer than any `ip` or `nft` call on a loaded host: a tool that hangs must not block the router. */
const TIMEOUT_MS = 20_000;
const MAX_OUTPUT = 16 << 20;

export interface RunOptions {
  readonly input?: string;
  /** Run inside this network namespace: a path such as `/run/netns/red` or `/proc/17/ns/net`. */
  readonly netns?: string;
}

/** A host tool ended with an error. `stderr` contains the reason. */
export class CommandError extends WeaveError {
  readonly stderr: string;

  constructor(command: string, stderr: string) {
    super("WEAVE_COMMAND_FAILED", `'${command}' failed: ${stderr}`);
    this.stderr = stderr;
  }
}

const PACKAGES: Readonly<Record<string, string>> = {
  ip: "iproute2",
  bridge: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
};

/** The start of BusyBox's answer to arguments that its versions of the tools lack. */
const BUSYBOX = /^BusyBox v\d/m;

/**
 * Runs a host tool, never through a shell, and returns its standard output.
 *
 * @throws WEAVE_TOOL_MISSING, WEAVE_COMMAND_FAILED
 */
export function run(tool: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const [file, argv] =
    options.netns === undefined ? [tool, args] : ["nsenter", [`--net=${options.netns}`, "--", tool, ...args]];
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      [...argv],
      { timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT, env: { ...process.env, LC_ALL: "C" } },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        if (systemCode(error) === "ENOENT") return reject(missing(file, `${file} utility is missing`));
        if (BUSYBOX.test(stderr)) {
          const applet = stderr.startsWith("nsenter") ? "nsenter" : tool;
          return reject(missing(applet, `${applet} is BusyBox's, which lacks options that weave needs`));
        }
        reject(new CommandError([tool, ...args].join(" ").slice(0, 200), stderr.trim() || error.message));
      },
    );
    // A tool that ends before it has read everything closes the pipe: its exit status is the result.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
  });
}

function missing(tool: string, what: string): WeaveError {
  const name = PACKAGES[tool] ?? tool;
  return new WeaveError("WEAVE_TOOL_MISSING", `${what}. Please install ${name}.`, {
    next: `On Debian and Ubuntu: apt-get install ${name}; on Alpine: apk add ${name}`,
  });
}

/** Whether an executable tool is on the host, also in the folders of root's tools. */
export function hasTool(tool: string): boolean {
  const path = `${process.env.PATH ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`;
  return path.split(":").some((folder) => folder !== "" && isExecutable(`${folder}/${tool}`));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
