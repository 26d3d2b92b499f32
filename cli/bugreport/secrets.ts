import { readFileSync } from "node:fs";
import { wordEnd } from "#cli/bugreport/secret-ends.js";
import { ARGUMENTS, ENVIRONMENT_FILE } from "#cli/supervision/environment-file.js";
import { launchOptions } from "#cli/support/launched.js";
import type { LaunchOptions } from "#router/options.js";
import { keptLaunchFile, lastLaunchFile, paths, tokenFile } from "#src/paths.js";

/**
 * The secrets of this host's router that can be found: passwords of this and the kept launch, of the unit's variables, of password
 * files, and the API's token.
 */
export function knownSecrets(env: NodeJS.ProcessEnv, environmentFile = ENVIRONMENT_FILE): string[] {
  const { run, dbPrefix } = paths();
  const launched = launchOptions();
  const launches = [launched, ...[keptLaunchFile(), lastLaunchFile(launched.dbPrefix ?? dbPrefix)].map(launchIn)];
  const unit = secretsOf(textIn(environmentFile));
  const files = [...launches.map(({ passwordFile }) => passwordFile), env.WEAVE_PASSWORD_FILE, ...unit.files];
  return [
    ...launches.map(({ password }) => password),
    ...files.map((file) => (file ? firstLine(file) : undefined)),
    env.WEAVE_PASSWORD,
    ...unit.passwords,
    firstLine(tokenFile(run)),
  ].filter((secret): secret is string => typeof secret === "string" && secret !== "");
}

/** A variable of the unit; one in a comment may be in use on another host. */
const VARIABLE = /^[ \t#;]*(?:export[ \t]+)?(\w+)=(.*)$/gm;

/**
 * Reads the passwords, and the names of password files, in a file of variables (systemd.exec(5), EnvironmentFile=). More is
 * taken for one than the unit would: as written, without quotes, and to the first space.
 */
export function secretsOf(text: string): { readonly passwords: string[]; readonly files: string[] } {
  const found = { passwords: [] as string[], files: [] as string[] };
  for (const [, name, raw] of text.replaceAll(/\\\r?\n/g, "").matchAll(VARIABLE)) {
    const value = raw.trim();
    if (name === "WEAVE_PASSWORD") found.passwords.push(...readings(value));
    if (name === "WEAVE_PASSWORD_FILE") found.files.push(...readings(value));
    if (name !== ARGUMENTS) continue;
    // All of it can be in quotes.
    for (const words of readings(value).map(wordsOf))
      words.forEach((word, at) => {
        const [, flag, attached] = /^["']?--?(password|password-file)(?:=(.*))?$/s.exec(word) ?? [];
        if (flag === undefined) return;
        const given = readings(attached ?? words[at + 1] ?? "");
        (flag === "password" ? found.passwords : found.files).push(...given);
      });
  }
  return found;
}

/** What a value can mean. */
function readings(value: string): string[] {
  const inner = /^(["'])(.*)\1$/s.exec(value)?.[2];
  const unescaped = value.replaceAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)/gs, (_, single, double, one) =>
    single !== undefined ? single : (one ?? double.replaceAll(/\\(.)/gs, "$1")),
  );
  return [...new Set([value, inner ?? value, unescaped])].filter((text) => text !== "");
}

function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (let at = 0; at < text.length; at++) {
    const end = wordEnd(text, at);
    if (end === at) continue;
    words.push(text.slice(at, end));
    at = end;
  }
  // The router's own check of the unit knows no quotes.
  return [...words, ...text.split(/\s+/)];
}

function launchIn(file: string): Partial<LaunchOptions> {
  try {
    const content = JSON.parse(readFileSync(file, "utf8")) as Partial<LaunchOptions> & {
      options?: Partial<LaunchOptions>;
    };
    return content.options ?? content;
  } catch {
    return {};
  }
}

const firstLine = (file: string): string | undefined => textIn(file).split("\n")[0].trimEnd() || undefined;

function textIn(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
