import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DOCKER_PREFIX, type Launch } from "#cli/launch/launch-flags.js";
import { type LaunchOptions, parseOptions } from "#router/options.js";
import { errorText, WeaveError } from "#src/errors.js";
import { makeFolder } from "#src/make-folder.js";
import { keptLaunchFile, newLaunchFile } from "#src/paths.js";

/** Variables by which Docker's client, and so the router, finds the certificates for an engine on TCP. */
const DOCKER_VARIABLES = ["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CLIENT_ARGS", "HOME"];

/** The options of a launch, and the keys of those that the user set: the others may change with the variables of the host. */
type Given = Pick<Launch, "options" | "given">;

/** A stored launch. */
export interface KeptLaunch extends Given {
  /** Variables of the launch that the router reads itself. */
  readonly variables: NodeJS.ProcessEnv;
}

/** Stores a launch for starts without a user, for example after a reboot. Only root may read the file: it may contain the password. */
export function keepLaunch(launch: Given, env: NodeJS.ProcessEnv): void {
  const file = keptLaunchFile();
  makeFolder(dirname(file), 0o700);
  writeFileSync(newLaunchFile(), "", { mode: 0o600 });
  // A reboot in the middle finds the last launch, or this one.
  const draft = `${file}.draft`;
  rmSync(draft, { force: true });
  writeFileSync(draft, keptLaunchText(launch, env), { mode: 0o600, flush: true });
  renameSync(draft, file);
}

/** The contents of the file with a launch. */
export function keptLaunchText({ options, given }: Given, env: NodeJS.ProcessEnv): string {
  const kept: KeptLaunch = {
    options,
    given,
    variables: Object.fromEntries(DOCKER_VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]]] : []))),
  };
  return `${JSON.stringify(kept)}\n`;
}

/** The stored launch; undefined if there is none. @param env names its folder @throws WEAVE_FLAG_INVALID when the file is damaged */
export function keptLaunch(env?: NodeJS.ProcessEnv): KeptLaunch | undefined {
  const file = keptLaunchFile(env);
  if (!existsSync(file)) return undefined;
  try {
    const { options, given, variables } = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    if (!Array.isArray(given)) throw new Error("it does not list the flags that were given");
    const texts = Object.entries(variables ?? {}).filter(
      ([name, value]) => DOCKER_VARIABLES.includes(name) && typeof value === "string",
    );
    return { options: parseOptions(options), given: given.map(String), variables: Object.fromEntries(texts) };
  } catch (cause) {
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      `cannot use the options of the last launch, ${file}: ${errorText(cause)}`,
      {
        cause,
        next: "'weave launch' with all flags writes it again.",
      },
    );
  }
}

/** Whether no router has become ready since the last {@link keepLaunch}. */
export const isNewLaunch = (env?: NodeJS.ProcessEnv): boolean => existsSync(newLaunchFile(env));

/** Removes the stored launch. */
export function forgetLaunch(): void {
  for (const file of [keptLaunchFile(), newLaunchFile()]) rmSync(file, { force: true });
}

/** Flags that decide one thing together: if one of a group was given, all of them count as given. */
const TOGETHER = [
  ["password", "passwordFile"],
  ["mtu", "noFastdp"],
];

/**
 * Joins a stored launch and the variables of this start. An option that the user set at the launch counts, then a variable, then the default.
 * Docker's other options stay as the launch found them: when the host boots, there may be no engine yet to query.
 *
 * @param now a launch without a user: the variables and defaults of this start
 */
export function joined(kept: Given, now: Given): LaunchOptions {
  const given = new Set([
    ...kept.given,
    ...TOGETHER.filter((group) => group.some((key) => kept.given.includes(key))).flat(),
  ]);
  const pick = (ours: object, theirs: object, isOurs: (key: string) => boolean) =>
    Object.fromEntries(
      Object.keys({ ...ours, ...theirs }).map((key) => [
        key,
        ((isOurs(key) ? ours : theirs) as Record<string, unknown>)[key],
      ]),
    );
  const docker = pick(kept.options.docker, now.options.docker, (key) => {
    const name = `${DOCKER_PREFIX}${key}`;
    return given.has(name) || !now.given.includes(name);
  });
  const peers = kept.options.peers.length > 0 || kept.options.resume ? kept.options.peers : now.options.peers;
  return parseOptions({ ...pick(kept.options, now.options, (key) => given.has(key)), docker, peers });
}
