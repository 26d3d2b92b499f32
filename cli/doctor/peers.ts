import { connect } from "node:net";
import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import type { HostFacts } from "#cli/doctor/host-facts.js";
import { connection } from "#cli/json/status-documents.js";
import type { ConnectionReport } from "#router/peers/connection-report.js";
import type { RouterReport } from "#router/peers/report.js";
import { errorText, systemCode } from "#src/errors.js";
import { hostOf, portOf } from "#src/net/host-port.js";

/** Limit for a connection that this command opens itself: a SYN that was lost is sent again after 1 s. */
const CONNECT_MS = 3_000;

/** Causes and remedies by the text of a failure, as in docs/troubleshooting.md. The first row that matches counts. */
const FAILURES: readonly (readonly [text: RegExp, cause: string, remedy: string])[] = [
  [/connection refused/, "no router at that address", "launch it; check address and port"],
  [
    /no route to host|timed out|i\/o timeout/,
    "a firewall or a wrong address",
    "open TCP 6783, and UDP 6783 to 6785, between the hosts",
  ],
  [
    /passwords differ|refused the password/,
    "the hosts have different passwords",
    "the same --password-file on all hosts",
  ],
  [
    /peer names collision/,
    "two hosts are copies of one image",
    "launch one with --name, or give it its own /etc/machine-id",
  ],
  [
    /has another identity|which is away/,
    "the host was reinstalled, or another machine uses its name",
    "'weave trust forget' on each host that refuses it",
  ],
  [
    /is excluded from the network/,
    "'weave rekey --exclude' named it",
    "'weave trust forget' on each host lets it in again",
  ],
  [/protocol versions/, "different builds", "upgrade the host that it names"],
  [/Connection limit/, "--conn-limit", "raise it; relayed peers do not need a connection"],
  [/^lookup /, "the name of a target does not resolve", "fix DNS; it is retried"],
];

/**
 * TCP and UDP with each peer. The router's carriers send datagrams in both directions all the time, and its connection is TCP: their
 * results are used where a router runs. To targets without a connection, and those that the user named, this command connects itself.
 */
export const peersCheck: DoctorCheck = {
  name: "peers",
  async run(host, signal) {
    const { report, targets, port } = host;
    const router = report?.Router;
    const known = router?.Connections.map((each) => connectionFinding(each, router)) ?? [];
    const reached = new Set(
      router?.Connections.filter(({ State }) => State === "established").map(({ Address }) => hostOf(Address)),
    );
    const dialled = targets.filter((target) => !reached.has(hostOf(target) || target));
    const probes = await Promise.all(dialled.map((target) => probe(target, port, signal)));
    const findings = [...known, ...probes];
    const kernel = kernelPathFindings(host);
    if (findings.length > 0) return [...findings, ...kernel];
    return [
      ...kernel,
      ok(
        router === undefined
          ? "none named: 'weave doctor HOST' tries the TCP port of another host"
          : "no targets, and no connections",
      ),
    ];
  },
};

/** @returns what is wrong with a connection, or that both TCP and UDP pass */
export function connectionFinding(report: ConnectionReport, router: Pick<RouterReport, "Name" | "Peers">): Finding {
  const { Address, State, Peer, NickName, Carrier, Reason, Info } = connection(report, router);
  const name = Peer === null ? Address : `${Peer}(${NickName}) at ${Address}`;
  if (State === "established") return carrierFinding(name, Carrier, Reason);
  if (State === "pending")
    return {
      level: "fail",
      what: `${name}: no frames pass${Reason === null ? "" : `: ${Reason}`}`,
      cause: "the peer answers neither by UDP nor TCP",
      remedy: "see 'weave status connections' on that host",
    };
  if (State === "connecting" && Info === "")
    return {
      level: "warn",
      what: `${name}: no answer yet`,
      cause: "the connection is being opened",
      remedy: "try again in 10 s",
    };
  const [, cause, remedy] = FAILURES.find(([text]) => text.test(Info)) ?? [];
  return { level: "fail", what: `${name}: ${Info || State}`, cause, remedy };
}

/** @param carrier what frames travel by; @param reason why by no better one */
export function carrierFinding(name: string, carrier: string | null, reason: string | null): Finding {
  const why = reason === null ? "" : `: ${reason}`;
  if (carrier === "fastdp") return ok(`${name}: frames pass by the kernel, in both directions`);
  if (carrier === "stream")
    return {
      level: "warn",
      what: `${name}: frames use stream${why}`,
      cause: "UDP does not pass",
      remedy: "open UDP 6783 to 6785 between the hosts; frames use TCP meanwhile",
    };
  // The words of a path whose heartbeats stay away (router/carriers/fastdp/path-proof.ts).
  if (reason?.includes("VXLAN does not pass"))
    return {
      level: "warn",
      what: `${name}: frames do not pass by the kernel${why}`,
      cause: "a firewall, or a smaller MTU between the hosts",
      remedy: "open UDP 6784 and 6785 between the hosts; frames use UDP 6783 meanwhile",
    };
  return ok(`${name}: TCP and UDP pass in both directions`);
}

/** Reasons that are no problem: options have it so (router/carriers/fastdp/kernel-path.ts). */
const INTENDED = /^(?:no connection of this host|off by )/;

/** Why a host has no kernel's path. Encrypted frames prefer the router's, unless options say otherwise. */
export function kernelPathFindings({ report, launched }: Pick<HostFacts, "report" | "launched">): Finding[] {
  const { Clear, Encrypted } = report?.Fastdp ?? {};
  const problems = [
    ["in clear", Clear?.Problem, "warn"],
    ["encrypted", Encrypted?.Problem, launched.fastdpEncrypted === "on" ? "warn" : "ok"],
  ] as const;
  return problems.flatMap(([kind, problem, level]) => {
    if (!problem) return [];
    const what = `no frames pass by the kernel (${kind}): ${problem}`;
    return level === "ok" || INTENDED.test(problem)
      ? [ok(what)]
      : [{ level, what, remedy: "see docs/fastdp.md; frames use UDP 6783 meanwhile" }];
  });
}

/** Connects to the TCP port of another host. A router accepts the connection, and sends nothing to a stranger. */
async function probe(target: string, defaultPort: number, signal: AbortSignal): Promise<Finding> {
  const named = /:\d+$/.test(target);
  const [host, port] = named ? [hostOf(target), portOf(target)] : [target, defaultPort];
  try {
    await open(host, port, signal);
    return ok(`${host}: TCP ${port} accepts connections; UDP is known when a router here is connected`);
  } catch (error) {
    const words = { ECONNREFUSED: "connection refused", EHOSTUNREACH: "no route to host" }[systemCode(error) ?? ""];
    const text = words ?? errorText(error);
    const [, cause, remedy] = FAILURES.find(([pattern]) => pattern.test(text)) ?? [];
    return { level: "fail", what: `${host}: cannot connect to TCP ${port}: ${text}`, cause, remedy };
  }
}

/** Opens a connection, and closes it. A timer of its own: Node.js 20 can collect a combined signal before it is aborted. */
function open(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const abort = () => socket.destroy(new Error("connection timed out"));
    const timer = setTimeout(
      () => socket.destroy(new Error(`connection timed out: no answer within ${CONNECT_MS / 1_000} s`)),
      CONNECT_MS,
    );
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", reject);
    socket.once("close", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    });
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}
