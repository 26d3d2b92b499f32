import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { systemCode, WeaveError } from "#src/errors.js";
import { installCommands, packageOf } from "#src/linux/packages.js";

/** Limit for a host tool: longer than any `ip` or `nft` call on a loaded host. */
const TIMEOUT_MS = 20_000;
/** Limit for the output of a host tool, in bytes. */
const MAX_OUTPUT = 16 << 20;

export interface RunOptions {
  /** Standard input of the tool; empty by default. */
  readonly input?: string;
  /** The network namespace to run in: a path such as `/run/netns/red` or `/proc/17/ns/net`. */
  readonly netns?: string;
}

/** The error output of iptables in its old form when the kernel has a table as a module that is not loaded. */
const MODULE = /do you need to insmod\?/;
/** Programs of the router have its capabilities, without CAP_SYS_MODULE. */
const LOAD_MODULE = {
  next: "The router may not load modules of the kernel: as root, 'modprobe iptable_filter' and 'modprobe iptable_nat' do; /etc/modules-load.d/ keeps them.",
};

/** The error of a host tool that failed. `stderr` is the tool's error output. */
export class CommandError extends WeaveError {
  readonly stderr: string;

  constructor(command: string, stderr: string) {
    super("WEAVE_COMMAND_FAILED", `'${command}' failed: ${stderr}`, MODULE.test(stderr) ? LOAD_MODULE : {});
    this.stderr = stderr;
  }
}

/** The first line of BusyBox's error output for an unknown option. */
const BUSYBOX = /^BusyBox v\d/m;

/** The error output of nsenter for a process without the capability that a namespace takes. */
const FORBIDDEN = /^nsenter: .*Operation not permitted/;

/**
 * Runs a host tool without a shell, and returns its standard output.
 *
 * @throws WEAVE_TOOL_MISSING, WEAVE_COMMAND_FAILED, WEAVE_NAMESPACE when this process may not enter the namespace
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
        if (options.netns !== undefined && FORBIDDEN.test(stderr))
          return reject(forbidden(options.netns, stderr.trim()));
        reject(new CommandError([tool, ...args].join(" ").slice(0, 200), stderr.trim() || error.message));
      },
    );
    // A tool that ends before it has read its input breaks the pipe: its exit status is the result.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
  });
}

function forbidden(netns: string, why: string): WeaveError {
  return new WeaveError("WEAVE_NAMESPACE", `cannot enter the network namespace ${netns}: ${why}`, {
    next: "The router lacks CAP_SYS_ADMIN: a container needs --privileged, or --cap-add SYS_ADMIN beside NET_ADMIN.",
  });
}

function missing(tool: string, what: string): WeaveError {
  return new WeaveError("WEAVE_TOOL_MISSING", `${what}. Please install ${packageOf(tool)}.`, {
    next: `As root: ${installCommands([tool]).join("; ")}`,
  });
}

/** Whether an executable tool is in the PATH or in the usual folders of system tools. */
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
