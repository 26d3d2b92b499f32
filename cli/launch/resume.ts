import { readFileSync } from "node:fs";
import { ROUTER_FLAGS } from "#router/flags.js";
import type { LaunchOptions } from "#router/options.js";
import { WeaveError } from "#src/errors.js";
import { type Flag, flagText } from "#src/flag.js";
import { lastLaunchFile } from "#src/paths.js";

/** Options of the last launch as stored for `--resume`: all but the password, and whether there was one. */
type LastLaunch = Partial<LaunchOptions> & { readonly hadPassword?: boolean };

/** Options that are not compared: they apply to one launch only, or are handled separately. */
const NOT_COMPARED = ["resume", "password", "passwordFile"];

/** Text of the file about the last launch, a line of JSON. */
export function lastLaunchText({ password, ...options }: LaunchOptions): string {
  return `${JSON.stringify({ ...options, hadPassword: password !== undefined } satisfies LastLaunch)}\n`;
}

/**
 * Completes the options of a launch with `--resume`. A password file of the last launch is used again. Other flags of the last launch are
 * not: those that this launch leaves out are reported. The router itself restores the peers.
 *
 * @param defaults options of a launch without flags
 * @param warn receives messages for the user
 * @throws WEAVE_FLAG_INVALID when the last launch had a password that is not stored: without it, the network would be open
 */
export function resumed(options: LaunchOptions, defaults: LaunchOptions, warn: (text: string) => void): LaunchOptions {
  const last = lastLaunch(options.dbPrefix);
  const differ = Object.entries(ROUTER_FLAGS as Readonly<Record<string, Flag<unknown>>>).flatMap(([key, row]) => {
    const [now, then, byDefault] = [options, last, defaults].map((each) => (each as Record<string, unknown>)[key]);
    const left = !NOT_COMPARED.includes(key) && key in last && !same(now, then) && same(now, byDefault);
    return left ? [flagAsTyped(row, then)] : [];
  });
  if (differ.length > 0)
    warn(`--resume restores the peers of the last launch, but not its other flags: ${differ.join(" ")}`);
  if (!last.hadPassword || options.password !== undefined || options.passwordFile !== undefined) return options;
  if (last.passwordFile !== undefined) {
    warn(`--resume reads the password from ${last.passwordFile}, as the last launch did`);
    return { ...options, passwordFile: last.passwordFile };
  }
  throw new WeaveError("WEAVE_FLAG_INVALID", "the last launch had a password, which is not stored on disk", {
    next: "Give it again, with --password-file or --password; or launch without --resume.",
  });
}

function lastLaunch(dbPrefix: string): LastLaunch {
  try {
    return JSON.parse(readFileSync(lastLaunchFile(dbPrefix), "utf8")) as LastLaunch;
  } catch {
    // There was no launch, or only one by an earlier version.
    return {};
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** A flag with a value as a user would type it. */
function flagAsTyped(row: Flag<unknown>, value: unknown): string {
  if (row.given !== undefined) return value === row.given ? flagText(row) : `${flagText(row)}=${value}`;
  const text = typeof value === "boolean" ? (value ? "on" : "off") : String(value ?? "");
  return `${flagText(row)} ${/^[\w.:/,-]+$/.test(text) ? text : JSON.stringify(text)}`;
}
