import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { LaunchOptions } from "#router/options.js";
import { MAX_PASSWORD } from "#router/peers/flags.js";
import { errorText, WeaveError } from "#src/errors.js";

/** Number of bytes to read: at most four for each character in UTF-8, and two for the end of the line. */
const MAX_BYTES = 4 * MAX_PASSWORD + 2;

/**
 * Reads the password from the file that the options name, if any.
 *
 * @param warn receives a warning when other users may read the file
 * @throws WEAVE_FLAG_INVALID when the file has no valid password, or the options have one as well
 */
export function withPassword(options: LaunchOptions, warn: (text: string) => void): LaunchOptions {
  if (options.passwordFile === undefined) return options;
  if (options.password !== undefined)
    throw new WeaveError("WEAVE_FLAG_INVALID", "there are two passwords: one by itself, and one in a file", {
      next: "Use only one of --password (or WEAVE_PASSWORD) and --password-file (or WEAVE_PASSWORD_FILE).",
    });
  return { ...options, password: readPassword(options.passwordFile, warn) };
}

/** Reads the password in the first line of a file. @throws WEAVE_FLAG_INVALID when there is none */
export function readPassword(file: string, warn: (text: string) => void): string {
  let text: string;
  let mode: number;
  try {
    const fd = openSync(file, "r");
    try {
      mode = fstatSync(fd).mode;
      const bytes = Buffer.alloc(MAX_BYTES);
      text = bytes.toString("utf8", 0, readSync(fd, bytes));
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw new WeaveError("WEAVE_FLAG_INVALID", `cannot read the password file: ${errorText(cause)}`, { cause });
  }
  const [password] = text.split(/\r?\n/);
  if (password === "" || password.length > MAX_PASSWORD)
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      `the first line of the password file ${file} must have 1 to ${MAX_PASSWORD} characters, and has ${password === "" ? "none" : "more"}`,
    );
  if ((mode & 0o077) !== 0)
    warn(`WARNING: users other than its owner may read the password file ${file}; 'chmod 600 ${file}' prevents it.`);
  return password;
}
