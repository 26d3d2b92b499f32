import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { LaunchOptions } from "#router/options.js";
import { MAX_PASSWORD } from "#router/peers/flags.js";
import { errorText, WeaveError } from "#src/errors.js";

/** UTF-8 needs four bytes for a character at most, and the line has an end. */
const MAX_BYTES = 4 * MAX_PASSWORD + 2;

/**
 * Reads the password, where a file was named for it.
 *
 * @param warn receives what works, but is not safe
 * @throws WEAVE_FLAG_INVALID when there is no password in the file, or another beside it
 */
export function withPassword(options: LaunchOptions, warn: (text: string) => void): LaunchOptions {
  if (options.passwordFile === undefined) return options;
  if (options.password !== undefined)
    throw new WeaveError("WEAVE_FLAG_INVALID", "a password was given twice: by itself, and by a file", {
      next: "Give one of --password (or WEAVE_PASSWORD) and --password-file (or WEAVE_PASSWORD_FILE).",
    });
  return { ...options, password: readPassword(options.passwordFile, warn) };
}

function readPassword(file: string, warn: (text: string) => void): string {
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
    warn(`WARNING: others than its owner may read the password file ${file}; 'chmod 600 ${file}' ends that.`);
  return password;
}
