import { DOCKER_FLAGS, type DockerOptions } from "#docker/flags.js";
import { parseListen } from "#docker/proxy/proxy-options.js";
import type { DialTarget } from "#mesh/dialling/schedule.js";
import type { ADDRESS_FLAGS } from "#router/addresses/flags.js";
import { type IpamOptions, parseIpamOptions } from "#router/addresses/options.js";
import { ROUTER_FLAGS } from "#router/flags.js";
import { mtuOf } from "#router/frames/flags.js";
import type { NAME_FLAGS } from "#router/names/flags.js";
import { type DnsOptions, parseDnsOptions } from "#router/names/options.js";
import { parseTarget } from "#router/peers/targets.js";
import { type Cidr, parseCidr } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";
import { checkValues, type Values } from "#src/flag.js";

/** The contents of the launch file. `weave launch` writes it, readable by root only; every start of the router reads it. */
export type LaunchOptions = Values<typeof ROUTER_FLAGS> & {
  readonly docker: DockerOptions;
  /** Targets as the user typed them: `host[:port]`. */
  readonly peers: readonly string[];
};

/** The options of a router, each in the form that its service uses. */
export type RouterOptions = Omit<
  LaunchOptions,
  keyof typeof ADDRESS_FLAGS | keyof typeof NAME_FLAGS | "trustedSubnets" | "peers"
> & {
  /** Undefined without IPAM. */
  readonly addresses: IpamOptions | undefined;
  /** Undefined without weaveDNS. */
  readonly names: DnsOptions | undefined;
  readonly trustedSubnets: readonly Cidr[];
  readonly targets: readonly DialTarget[];
  /** TCP ports that only this host may reach, not its containers. */
  readonly hostPorts: readonly number[];
};

/** Reads the text of a launch file. @throws as {@link parseOptions} */
export function readOptions(text: string): RouterOptions {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw broken(`the launch file is not valid JSON: ${errorText(error)}`);
  }
  return routerOptions(parseOptions(raw));
}

/**
 * Validates options from a file, with the same flag definitions that `weave launch` uses.
 *
 * @throws WEAVE_FLAG_INVALID with the flag, the value and the valid values; WEAVE_PEER_INVALID
 */
export function parseOptions(raw: unknown): LaunchOptions {
  const { docker, peers = [], ...router } = record(raw, "the launch file");
  if (!Array.isArray(peers)) throw broken("the launch file's peers are no list");
  const checked = checkValues(ROUTER_FLAGS, router);
  const options = {
    ...checked,
    mtu: mtuOf(checked.mtu, checked.noFastdp),
    docker: checkValues(DOCKER_FLAGS, record(docker ?? {}, "the launch file's docker")),
    peers: peers.map(String),
  };
  routerOptions(options);
  return options;
}

function record(raw: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) throw broken(`${what} holds no options`);
  return raw as Record<string, unknown>;
}

const broken = (why: string): WeaveError =>
  new WeaveError("WEAVE_FLAG_INVALID", why, { next: "Write it again with 'weave launch'." });

/**
 * Converts launch options to the options of a router. Also checks the peers, and flags that contradict one another.
 *
 * @throws WEAVE_FLAG_INVALID, WEAVE_PEER_INVALID
 */
export function routerOptions(launch: LaunchOptions): RouterOptions {
  const { peers, port, docker, resume, password, encryption } = launch;
  const targets = peers.map((peer) => parseTarget(peer, port));
  const addresses = parseIpamOptions(launch);
  if (resume && peers.length > 0) {
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      "You must not specify an initial peer list in conjunction with --resume",
    );
  }
  if (password !== undefined && !encryption) {
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      "a password was given and encryption is off: the password could not protect anything",
      {
        next: "Leave out --password, or --encryption=off (and WEAVE_ENCRYPTION).",
      },
    );
  }
  return {
    ...launch,
    addresses,
    names: parseDnsOptions(launch),
    trustedSubnets: launch.trustedSubnets.map(parseCidr),
    targets,
    hostPorts: hostPorts(launch, docker.api !== ""),
  };
}

/**
 * The TCP ports of control API, status, page and Docker API proxy. `--metrics-addr` is excluded: collectors of metrics may run in
 * containers.
 */
function hostPorts({ httpAddr, statusAddr, pageAddr, docker }: LaunchOptions, withDocker: boolean): number[] {
  const api = [httpAddr, statusAddr, pageAddr]
    .filter((address) => !address.startsWith("/"))
    .map((address) => Number(address.split(":").pop()));
  const proxy =
    withDocker && docker.proxy
      ? docker.listen.map(parseListen).flatMap((listen) => ("port" in listen ? [listen.port] : []))
      : [];
  // An address of "" has port 0: no listener.
  return [...new Set([...api, ...proxy])].filter((port) => port > 0);
}
