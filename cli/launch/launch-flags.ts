import { completeDocker } from "#cli/launch/docker-options.js";
import { parseFlags } from "#cli/support/parse-flags.js";
import { DOCKER_FLAGS, DOCKER_LAUNCH_FLAGS, type DockerOptions } from "#docker/flags.js";
import { IGNORED_FLAGS, LAUNCH_FLAGS, MISSING_FLAGS, ROUTER_FLAGS } from "#router/flags.js";
import { mtuOf } from "#router/frames/flags.js";
import { type LaunchOptions, routerOptions } from "#router/options.js";
import { WeaveError } from "#src/errors.js";
import type { Rows, Values } from "#src/flag.js";

/** Prefix of the keys of Docker's flags in {@link ALL_FLAGS}. */
export const DOCKER_PREFIX = "docker.";

/** Every flag of `weave launch`. The keys of Docker's flags have a prefix, because both groups have a key `dns`. */
export const ALL_FLAGS = {
  ...ROUTER_FLAGS,
  ...LAUNCH_FLAGS,
  ...prefixed(DOCKER_FLAGS),
  ...prefixed(DOCKER_LAUNCH_FLAGS),
  ...IGNORED_FLAGS,
};

/** The parsed arguments of `weave launch`. */
export interface Launch {
  readonly options: LaunchOptions;
  /** Keys of {@link ALL_FLAGS} whose value comes from a flag or a variable, not from the default. */
  readonly given: readonly string[];
  readonly foreground: boolean;
  /** Image of the container in which the router is to run; "" for none. */
  readonly image: string;
}

/**
 * Parses the arguments of `weave launch`, and checks all values that do not depend on the network or on other processes. The options become
 * the router's launch file.
 *
 * @throws WEAVE_FLAG_UNKNOWN (exit status 125), WEAVE_FLAG_INVALID, WEAVE_PEER_INVALID
 */
export function parseLaunch(args: readonly string[], env: NodeJS.ProcessEnv): Launch {
  const { values, given, words } = parseFlags(ALL_FLAGS, args, env, unknownFlag);
  const router = pick(ROUTER_FLAGS, values);
  const docker = pick(DOCKER_FLAGS, values, DOCKER_PREFIX) as DockerOptions;
  const tls = { verify: values["docker.tlsVerify"], detect: values["docker.detectTls"] };
  const options: LaunchOptions = {
    ...router,
    mtu: mtuOf(router.mtu, router.noFastdp),
    docker: completeDocker(docker, tls, env),
    peers: words,
  };
  routerOptions(options);
  return { options, given, foreground: values.foreground, image: values.image };
}

/** Error for an unknown flag. @param suggestion the flag that was probably meant */
function unknownFlag(typed: string, suggestion: string | undefined): WeaveError {
  const missing = MISSING_FLAGS.includes(typed.replace(/^--?/, ""));
  const next = missing
    ? `${typed} belongs to a part of weave that this version does not have yet.`
    : `${suggestion === undefined ? "" : `Did you mean ${suggestion}? `}See 'weave launch --help'.`;
  return new WeaveError("WEAVE_FLAG_UNKNOWN", `flag provided but not defined: ${typed}`, { next });
}

type Prefixed<R extends Rows> = { readonly [K in keyof R & string as `${typeof DOCKER_PREFIX}${K}`]: R[K] };

function prefixed<R extends Rows>(rows: R): Prefixed<R> {
  return Object.fromEntries(Object.entries(rows).map(([key, row]) => [`${DOCKER_PREFIX}${key}`, row])) as Prefixed<R>;
}

/** The values of the given rows, under the rows' own keys. */
function pick<R extends Rows>(rows: R, values: Readonly<Record<string, unknown>>, prefix = ""): Values<R> {
  return Object.fromEntries(Object.keys(rows).map((key) => [key, values[`${prefix}${key}`]])) as Values<R>;
}
