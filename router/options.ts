import { DOCKER_FLAGS, type DockerOptions } from "#docker/flags.js";
import { parseListen } from "#docker/proxy/proxy-options.js";
import { parseIpamOptions } from "#router/addresses/options.js";
import { mtuOf, ROUTER_FLAGS } from "#router/flags.js";
import { parsePeer } from "#router/targets.js";
import { errorText, WeaveError } from "#src/errors.js";
import { checkValues, type Values } from "#src/flag.js";

/** What a router is started with. `weave launch` writes it to a file that only root can read; every restart reads it. */
export type RouterOptions = Values<typeof ROUTER_FLAGS> & {
  readonly docker: DockerOptions;
  /** As typed: `host[:port]`. */
  readonly peers: readonly string[];
};

/** Reads the text of a launch file. @throws as {@link parseOptions} */
export function readOptions(text: string): RouterOptions {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw broken(`the launch file is not valid JSON: ${errorText(error)}`);
  }
  return parseOptions(raw);
}

/**
 * Reads options that come from a file: by the rows that `weave launch` reads its flags by.
 *
 * @throws WEAVE_FLAG_INVALID naming the flag, the value and what it may be; WEAVE_PEER_INVALID
 */
export function parseOptions(raw: unknown): RouterOptions {
  const { docker, peers = [], ...router } = record(raw, "the launch file");
  if (!Array.isArray(peers)) throw broken("the launch file's peers are no list");
  const checked = checkValues(ROUTER_FLAGS, router);
  const options = {
    ...checked,
    mtu: mtuOf(checked.mtu, false),
    docker: checkValues(DOCKER_FLAGS, record(docker ?? {}, "the launch file's docker")),
    peers: peers.map(String),
  };
  checkOptions(options);
  return options;
}

function record(raw: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) throw broken(`${what} holds no options`);
  return raw as Record<string, unknown>;
}

const broken = (why: string): WeaveError =>
  new WeaveError("WEAVE_FLAG_INVALID", why, { next: "Write it again with 'weave launch'." });

/**
 * What no row can say: the peers, and flags that contradict one another.
 *
 * @throws WEAVE_FLAG_INVALID, WEAVE_PEER_INVALID
 */
export function checkOptions(options: RouterOptions): void {
  options.peers.forEach(parsePeer);
  parseIpamOptions(options);
  if (options.resume && options.peers.length > 0) {
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      "You must not specify an initial peer list in conjunction with --resume",
    );
  }
  if (options.password !== undefined && !options.encryption) {
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      "a password was given and encryption is off: the password could not protect anything",
      {
        next: "Leave out --password, or --encryption=off (and WEAVE_ENCRYPTION).",
      },
    );
  }
}

/**
 * TCP ports that this host's own users alone may reach: control API, status, Docker API proxy. Not `--metrics-addr`: collectors
 * of metrics run in containers, too.
 */
export function hostPorts({ httpAddr, statusAddr, docker }: RouterOptions, withDocker: boolean): number[] {
  const api = [httpAddr, statusAddr]
    .filter((address) => !address.startsWith("/"))
    .map((address) => Number(address.split(":").pop()));
  const proxy =
    withDocker && docker.proxy
      ? docker.listen.map(parseListen).flatMap((listen) => ("port" in listen ? [listen.port] : []))
      : [];
  // An address of "" is none.
  return [...new Set([...api, ...proxy])].filter((port) => port > 0);
}
