import { z } from "zod/mini";
import { checkDockerOptions, dockerOptionsShape, parseListen } from "#docker/options.js";
import { nicknameShape } from "#mesh/peer.js";
import { OFFLOADS } from "#router/datapath/protocol.js";
import { MAX_LANES } from "#router/datapath/record.js";
import { parseDnsOptions } from "#router/dns/options.js";
import { parseIpamOptions } from "#router/ipam-options.js";
import { isIpv4, parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import { parseMac } from "#src/mac.js";

/** What a router is started with. `weave launch` writes it to a file that only root can read; every restart reads it. */
const shape = z.object({
  name: z.optional(z.string()),
  nickname: nicknameShape,
  /** Address to listen at and to dial from; "" for all. */
  host: z.string(),
  port: z.number().check(z.int(), z.gte(1), z.lte(65_535)),
  password: z.optional(z.string().check(z.minLength(1))),
  encryption: z.boolean(),
  trustedSubnets: z.array(z.string()),
  discovery: z.boolean(),
  /** Take up the stored targets in place of `peers`. */
  resume: z.boolean(),
  /** 0: no limit. */
  connectionLimit: z.number().check(z.int(), z.gte(0), z.lte(4_096)),
  /** `host:port`, an absolute path of a Unix socket, or "" for none. */
  httpAddr: z.string(),
  statusAddr: z.string(),
  metricsAddr: z.string(),
  bridge: z.string().check(z.regex(/^[A-Za-z][\w.-]{0,10}$/)),
  /** Of the bridge and so of containers, in bytes. */
  mtu: z.number().check(z.int(), z.gte(576), z.lte(65_535)),
  /** 0: what suits the machine. */
  datapathThreads: z.number().check(z.int(), z.gte(0), z.lte(MAX_LANES)),
  /** Not to be used, though the kernel has them. */
  offloadsOff: z.array(z.enum(OFFLOADS)),
  logLevel: z.enum(["debug", "info", "warn", "error"]),
  dbPrefix: z.string().check(z.startsWith("/")),
  restart: z.boolean(),
  dns: z.boolean(),
  dnsDomain: z.string(),
  /** `host:port`; "" for what the host offers. */
  dnsListenAddress: z.string(),
  /** Seconds. */
  dnsTtl: z.number(),
  /** A duration such as `5s`. */
  dnsFallbackTimeout: z.string(),
  resolvConf: z.string(),
  /** What IPAM hands out, in CIDR notation; "" for no IPAM. */
  ipallocRange: z.string(),
  /** "" for the whole range. */
  ipallocDefaultSubnet: z.string(),
  /** As on the command line. */
  ipallocInit: z.string(),
  docker: dockerOptionsShape,
  peers: z.array(z.string()),
});

export type RouterOptions = z.infer<typeof shape>;

/** Checks options that come from a file. @throws WEAVE_FLAG_INVALID */
export function parseOptions(raw: unknown): RouterOptions {
  const parsed = shape.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new WeaveError("WEAVE_FLAG_INVALID", `invalid option ${issue?.path.join(".")}: ${issue?.message}`, {
      next: "Launch again with 'weave launch'.",
    });
  }
  return parsed.data;
}

/**
 * What the types cannot say.
 *
 * @throws WEAVE_FLAG_INVALID, WEAVE_PEER_INVALID
 */
export function checkOptions(options: RouterOptions): void {
  if (options.name !== undefined) parseMac(options.name);
  if (options.host !== "" && !isIpv4(options.host)) {
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      `--host must be an IPv4 address of this host, and is ${JSON.stringify(options.host)}`,
    );
  }
  for (const subnet of options.trustedSubnets) {
    try {
      parseCidr(subnet);
    } catch (cause) {
      throw new WeaveError("WEAVE_FLAG_INVALID", `Unable to parse trusted subnets: invalid CIDR address: ${subnet}`, {
        cause,
      });
    }
  }
  parseIpamOptions(options);
  parseDnsOptions(options);
  checkDockerOptions(options.docker);
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
