import { readFileSync } from "node:fs";
import { launchOptions } from "#cli/support/launched.js";
import type { LaunchOptions } from "#router/options.js";
import { keptLaunchFile, lastLaunchFile, paths, tokenFile } from "#src/paths.js";

/** The secrets of this host's router that can be found: passwords of this and the kept launch, of password files, and the API's token. */
export function knownSecrets(env: NodeJS.ProcessEnv): string[] {
  const { run, dbPrefix } = paths();
  const launched = launchOptions();
  const launches = [launched, ...[keptLaunchFile(), lastLaunchFile(launched.dbPrefix ?? dbPrefix)].map(launchIn)];
  const files = [...launches.map(({ passwordFile }) => passwordFile), env.WEAVE_PASSWORD_FILE];
  return [
    ...launches.map(({ password }) => password),
    ...files.map((file) => (file ? firstLine(file) : undefined)),
    env.WEAVE_PASSWORD,
    firstLine(tokenFile(run)),
  ].filter((secret): secret is string => typeof secret === "string" && secret !== "");
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

function firstLine(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").split("\n")[0].trimEnd();
  } catch {
    return undefined;
  }
}
