import { readFileSync } from "node:fs";
import { ROUTER_FLAGS } from "#router/flags.js";
import type { LaunchOptions } from "#router/options.js";
import { WeaveError } from "#src/errors.js";
import { type Flag, flagText } from "#src/flag.js";
import { lastLaunchFile } from "#src/paths.js";

/** The options of a launch as they are kept on disk, for `--resume` of the next: everything but the password. */
type LastLaunch = Partial<LaunchOptions> & { readonly hadPassword?: boolean };

/** Options of one run alone, or handled separately. */
const APART = ["resume", "password", "passwordFile"];

export function lastLaunchText({ password, ...options }: LaunchOptions): string {
  return `${JSON.stringify({ ...options, hadPassword: password !== undefined } satisfies LastLaunch)}\n`;
}

/**
 * What `--resume` makes of the last launch: its peers are the router's to take up; a password that was in a file is read from there
 * again; all else is as this launch says, and {@link say} names what was different.
 *
 * @param defaults what a launch without flags would have
 * @throws WEAVE_FLAG_INVALID when the last launch had a password that is not kept: without it, the network would be open
 */
export function resumed(options: LaunchOptions, defaults: LaunchOptions, say: (text: string) => void): LaunchOptions {
  const last = lastLaunch(options.dbPrefix);
  const differ = Object.entries(ROUTER_FLAGS as Readonly<Record<string, Flag<unknown>>>).flatMap(([key, row]) => {
    const [now, then, usual] = [options, last, defaults].map((each) => (each as Record<string, unknown>)[key]);
    const left = !APART.includes(key) && key in last && !same(now, then) && same(now, usual);
    return left ? [errorText(row, then)] : [];
  });
  if (differ.length > 0)
    say(`--resume takes up the peers of the last launch, and not its other flags: ${differ.join(" ")}`);
  if (!last.hadPassword || options.password !== undefined || options.passwordFile !== undefined) return options;
  if (last.passwordFile !== undefined) {
    say(`--resume reads the password from ${last.passwordFile}, as the last launch did`);
    return { ...options, passwordFile: last.passwordFile };
  }
  throw new WeaveError("WEAVE_FLAG_INVALID", "the last launch had a password, which is not kept on disk", {
    next: "Give it again, with --password-file or --password; or launch without --resume.",
  });
}

function lastLaunch(dbPrefix: string): LastLaunch {
  try {
    return JSON.parse(readFileSync(lastLaunchFile(dbPrefix), "utf8")) as LastLaunch;
  } catch {
    // The first launch, or one by an earlier version.
    return {};
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** A flag as it would be typed. */
function errorText(row: Flag<unknown>, value: unknown): string {
  if (row.given !== undefined) return value === row.given ? flagText(row) : `${flagText(row)}=${value}`;
  const text = typeof value === "boolean" ? (value ? "on" : "off") : String(value ?? "");
  return `${flagText(row)} ${/^[\w.:/,-]+$/.test(text) ? text : JSON.stringify(text)}`;
}
