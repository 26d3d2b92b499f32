import { readFileSync } from "node:fs";
import { WeaveError } from "#src/errors.js";

/** Variables of weave.service. */
export const ENVIRONMENT_FILE = "/etc/weave/weave.env";

/** Variables of folders, which all commands must know; a unit's own would differ from those of a user's shell. */
const FIXED = ["WEAVE_RUN_DIR", "WEAVE_STATE_DIR", "WEAVE_LOG_DIR"];

/**
 * Reads the variables of a file in the form of EnvironmentFile= (systemd.exec(5)): `NAME=value`, quotes around a value, lines that
 * begin with # or ; are comments. A missing file has none.
 *
 * @throws WEAVE_FLAG_INVALID for a variable that has no effect there
 */
export function fileVariables(file = ENVIRONMENT_FILE): NodeJS.ProcessEnv {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return {};
  }
  const lines = text.replaceAll("\\\n", "").split("\n");
  const assignments = lines.flatMap((line) => {
    const [, name, value] = /^\s*(\w+)=(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, unquoted(value.trim())]];
  });
  const variables: NodeJS.ProcessEnv = Object.fromEntries(assignments);
  const fixed = FIXED.find((name) => variables[name]);
  if (fixed !== undefined)
    throw new WeaveError("WEAVE_FLAG_INVALID", `${fixed} has no place in ${file}: every weave command needs it`, {
      next: "Remove it there. 'weave launch --db-prefix PATH' puts the database elsewhere.",
    });
  return variables;
}

const unquoted = (value: string): string => /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;

/** The variable whose words are arguments of `weave launch` (packaging/systemd/weave.service). */
export const ARGUMENTS = "WEAVE_ARGS";

/** Adds to an error about a variable, or about a flag in WEAVE_ARGS, the file that sets it. */
export function withFile(error: unknown, file = ENVIRONMENT_FILE): unknown {
  if (!(error instanceof WeaveError) || !/^WEAVE_(FLAG|PEER)_/.test(error.code) || error.message.includes(file))
    return error;
  const variables = fileVariables(file);
  const named = Object.keys(variables).find((name) => new RegExp(`\\b${name}\\b`).test(error.message));
  const [flag] = /--?[a-zA-Z][\w-]*/.exec(error.message) ?? [];
  const name = named ?? (flag !== undefined && variables[ARGUMENTS]?.includes(flag) ? ARGUMENTS : undefined);
  if (name === undefined) return error;
  return new WeaveError(error.code, error.message, { cause: error, next: `${name} is set in ${file}.` });
}
