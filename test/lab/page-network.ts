import { NO_CLAIMS } from "#router/frames/claims.js";
import type { PageSources } from "#router/page/sources.js";
import { macNumber } from "#src/mac.js";

/** Options of a network that exists only for the page. */
export interface PageNetwork {
  /** Number of peers, this host among them. */
  readonly peers: number;
  /** Number of neighbours of this host, and of each other one. */
  readonly degree: number;
  /** Replaces every name that peers choose: nicknames, names of containers, reasons. */
  readonly named?: (name: string) => string;
  /** Peers at the end of the list that no route leads to. */
  readonly unreachable?: number;
  readonly problems?: readonly string[];
  /** Milliseconds on the monotonic clock: counters grow with it. */
  readonly at?: number;
}

const CARRIERS = ["fastdp", "sleeve", "sleeve", "sleeve", "stream"];
const TOKEN_STEP = 2 ** 20;

const nameOf = (index: number): string =>
  `02:00:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;
const addressOf = (number: number): string =>
  [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255].join(".");

/** A counter that grows by about `rate` in a millisecond, more and less by turns. */
const grown = (at: number, rate: number, phase: number): number =>
  Math.round(rate * (at + 5_500 * (Math.sin(at / 9_000 + phase) + 1)));

/**
 * The state of a network's parts, as {@link PageReader} reads it from a router: for the page at sizes that no lab has. Each peer has
 * links to the `degree` peers after it, and this host to the first ones.
 */
export function pageNetwork(options: PageNetwork): PageSources {
  const { peers: count, degree, unreachable = 0, named = (name) => name, at = 10_000, problems = [] } = options;
  const nickname = (index: number) =>
    named(index === 0 ? "edge-fra-1" : `${["web", "db", "gpu", "edge"][index % 4]}-${index}`);
  const reachable = count - unreachable;
  const records = Array.from({ length: count }, (_, index) => ({
    name: nameOf(index),
    nickname: nickname(index),
    links: Array.from({ length: Math.min(degree, count - 1) }, (_, step) => (index + step + 1) % count)
      .concat(Array.from({ length: Math.min(degree, count - 1) }, (_, step) => (index - step - 1 + count) % count))
      .filter((to) => index < reachable && to < reachable)
      .map((to) => ({ to: nameOf(to), established: true })),
  }));
  const neighbours = [...new Set(records[0].links.map(({ to }) => to))].filter((to) => to !== nameOf(0));
  const indexOf = (name: string) => records.findIndex((record) => record.name === name);
  const connections = neighbours.map((name) => {
    const index = indexOf(name);
    const carrier = CARRIERS[index % CARRIERS.length];
    return {
      remote: { name, nickname: nickname(index) },
      encrypted: true,
      wire: { roundTripMs: 0.21 + ((index * 37) % 90) / 10 },
      overlay: {
        name: carrier,
        nextHop: index,
        diagnostics: () => ({
          selection: { carrier },
          carriers: [{ name: carrier, figures: carrier === "sleeve" ? { LossPercent: (index % 7) / 10 } : {} }],
        }),
      },
    };
  });
  const attributes = (index: number) => {
    const carrier = CARRIERS[index % CARRIERS.length];
    const reason = carrier === "stream" ? { reason: '"UDP does not pass: no answer for 12 s"' } : {};
    return { name: carrier, mtu: 1_376, ...reason };
  };
  return {
    at,
    problems,
    status: { self: records[0], peers: records.slice(0, reachable), connections },
    suspended: records.slice(reachable),
    nextHop: (peer: string) => (neighbours.includes(peer) ? peer : neighbours[indexOf(peer) % neighbours.length]),
    router: {
      Name: nameOf(0),
      NickName: nickname(0),
      Fingerprint: "3f9a 01c7 5be2 88d4",
      Encryption: true,
      PeersAuthenticated: true,
      PasswordWeakness: null,
      WrongPasswords: [],
      NameConflicts: [],
      SlowedNeighbours: [],
      RejectedFrom: [],
      Equivocations: [],
      Targets: ["203.0.113.2", "203.0.113.3"],
      Datapath: { Threads: 2, Offloads: [], OffloadsOff: [], Cipher: "AES-256-GCM (OpenSSL)" },
      FrameClaims: NO_CLAIMS,
      Connections: neighbours.map((name) => ({
        Address: `203.0.113.${(indexOf(name) % 250) + 2}:6783`,
        Outbound: indexOf(name) % 2 === 0,
        State: "established",
        Info: `encrypted   ${CARRIERS[indexOf(name) % CARRIERS.length].padEnd(6)} ${name}(${nickname(indexOf(name))})`,
        Attrs: attributes(indexOf(name)),
      })),
    },
    frames: {
      counters: { bytesSent: grown(at, 9_000, 0), bytesReceived: grown(at, 21_000, 1) },
      drops: { "no-route": 3, replayed: 1 },
      traffic: neighbours.map((name) => ({
        peer: macNumber(name),
        recordsSent: 0,
        bytesSent: grown(at, 1_000, indexOf(name)),
        recordsReceived: 0,
        bytesReceived: grown(at, 2_600, indexOf(name) + 1),
      })),
    },
    addresses: {
      report: {
        Range: "10.32.0.0/12",
        RangeNumIPs: TOKEN_STEP,
        DefaultSubnet: "10.32.0.0/12",
        Status: "ready",
        Entries: records.map(({ name, nickname: nick }, index) => ({
          Token: addressOf(0x0a_20_00_00 + Math.floor((index * TOKEN_STEP) / count)),
          Size: Math.floor(((index + 1) * TOKEN_STEP) / count) - Math.floor((index * TOKEN_STEP) / count),
          Peer: name,
          Nickname: nick,
          IsKnownPeer: index < reachable,
          Cause: named("the first division of the range"),
        })),
        ...{ Waits: [], Contested: [], OtherRanges: [], GivenTwice: [], Rejected: [], AgreementAwaited: [] },
      },
      holders: Array.from({ length: 7 }, (_, index) => ({
        ident: named((index + 10).toString(16).repeat(32)),
        addresses: [`10.32.0.${index + 1}/12`],
      })),
    },
    names: {
      Domain: "weave.local.",
      Problem: "",
      Entries: records.flatMap(({ name }, index) =>
        ["api", "cache"].map((role) => ({
          Hostname: named(`${role}-${index}.weave.local.`),
          Address: addressOf(0x0a_20_00_00 + index * 16 + role.length),
          ContainerID: named((index + 4_096).toString(16).repeat(16)),
          Origin: name,
          Tombstone: 0,
          Away: index >= reachable,
        })),
      ),
    },
    docker: undefined,
    attachments: [
      { id: "weave:expose", mac: nameOf(0), addresses: [] },
      ...Array.from({ length: 7 }, (_, index) => ({
        id: named((index + 10).toString(16).repeat(32)),
        mac: `5a:11:00:00:00:0${index}`,
        addresses: [`10.32.0.${index + 1}/12`],
      })),
    ],
    statusLines: [],
    // Only what the page reads.
  } as unknown as PageSources;
}
