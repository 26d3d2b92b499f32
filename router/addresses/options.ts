import { overlap } from "#ipam/ring/interval.js";
import { parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import type { MeshStatus } from "#mesh/options.js";
import type { PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";
import { parseMac } from "#src/mac.js";

/** How the first ring is created. `count` is the number of initial peers; 0: the number of targets plus this peer. */
export type InitOption =
  | { readonly mode: "consensus"; readonly count: number }
  | { readonly mode: "seed"; readonly peers: readonly PeerName[] }
  | { readonly mode: "observer" };

export interface IpamOptions {
  readonly range: Subnet;
  readonly defaultSubnet: Subnet;
  readonly init: InitOption;
}

/**
 * Parses the IPAM flags of `weave launch`. Each flag must be valid already. Undefined when IPAM is off (`--ipalloc-range ""`).
 *
 * @throws WEAVE_FLAG_INVALID when flags contradict each other, with Weave Net's messages
 */
export function parseIpamOptions(flags: {
  readonly ipallocRange: string;
  readonly ipallocDefaultSubnet: string;
  readonly ipallocInit: string;
}): IpamOptions | undefined {
  const { ipallocRange, ipallocDefaultSubnet, ipallocInit } = flags;
  if (ipallocRange === "") {
    if (ipallocDefaultSubnet !== "") throw invalid("--ipalloc-default-subnet specified without --ipalloc-range.");
    if (ipallocInit !== "") throw invalid("--ipalloc-init specified without --ipalloc-range.");
    return undefined;
  }
  const range = parseSubnet(ipallocRange);
  const defaultSubnet = ipallocDefaultSubnet === "" ? range : parseSubnet(ipallocDefaultSubnet);
  if (overlap(range, defaultSubnet) === undefined) {
    throw invalid(
      `IP address allocation default subnet ${defaultSubnet.text} does not overlap with allocation range ${range.text}`,
    );
  }
  return { range, defaultSubnet, init: parseInit(ipallocInit) };
}

/** Parses `consensus[=n]`, `seed=NAME,…`, `observer`, or "" for consensus. @throws WEAVE_FLAG_INVALID with Weave Net's message */
export function parseInit(text: string): InitOption {
  const [mode, ...rest] = text.split("=");
  const value = text.includes("=") ? rest.join("=") : undefined;
  switch (mode) {
    case "":
      return { mode: "consensus", count: 0 };
    case "consensus": {
      if (value === undefined) return { mode: "consensus", count: 0 };
      const count = Number(value);
      if (!/^\d{1,4}$/.test(value) || count === 0) throw invalid(`bad consensus parameter: ${value.slice(0, 64)}`);
      return { mode: "consensus", count };
    }
    case "seed": {
      if (value === undefined || value === "") throw invalid("seed mode requires peer name list");
      const peers = value.split(",").map((name) => {
        try {
          return parseMac(name.trim());
        } catch {
          throw invalid(`bad seed parameter: ${name.slice(0, 64)}`);
        }
      });
      return { mode: "seed", peers: [...new Set(peers)].sort() };
    }
    case "observer":
      if (value !== undefined) throw invalid("observer mode takes no parameter");
      return { mode: "observer" };
    default:
      throw invalid(`unknown mode: ${text.slice(0, 64)}`);
  }
}

/** The size of a majority of this peer and its targets. Targets that turned out to be this peer itself do not count. */
export function quorumOf({ targets, attempts }: Pick<MeshStatus, "targets" | "attempts">): number {
  const never = new Set(
    attempts.filter(({ retryAt }) => retryAt === Number.POSITIVE_INFINITY).map(({ address }) => address),
  );
  const others = new Set(targets.map(({ address }) => address).filter((address) => !never.has(address))).size;
  return Math.floor((others + 1) / 2) + 1;
}

const invalid = (message: string): WeaveError => new WeaveError("WEAVE_FLAG_INVALID", message);
