import { printDocument } from "#cli/json/document.js";
import { pingDocument } from "#cli/probes/documents.js";
import { type PingResult, pingEnd, pingHead, pingLine, pingSummary } from "#cli/probes/ping-text.js";
import { callJson, REPORT_MS } from "#cli/support/client.js";
import { Exit, rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import type { FoundTarget, ProbeReply } from "#router/probes/routes.js";
import { EXPOSED } from "#src/ident.js";

/** Limit for finding the target: of several hosts that do not answer each takes 4 s. */
const FIND_MS = 60_000;

/** `weave ping target`: sends probes to a host, and to a container on it, and prints their round trips. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("ping", args);
  const [what, ...more] = words;
  if (what === undefined) throw usageError("the target is missing: a peer, container or address");
  rejectExtra(more);
  const { json, count = 5, interval = 1, timeout = 1 } = values;
  const form = new URLSearchParams({ what });
  const found = await callJson<FoundTarget>({ method: "POST", path: "/probes/find", form, answerMs: FIND_MS });
  const print = (lines: readonly string[]) => {
    if (!json) process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  };
  print(pingHead(found));
  const probes = isOwn(found) ? [] : await sendAll(found, { count, interval, timeout }, print);
  const result: PingResult = { found, probes, own: isOwn(found) };
  const end = pingEnd(result);
  if (json) {
    process.exitCode = end === undefined ? 0 : 1;
    return printDocument("ping", pingDocument(result, end));
  }
  print(pingSummary(result));
  if (end !== undefined) throw new Exit(1, `${end.why}\n${end.next}`);
}

/** This host itself: its kernel takes no frame of its own. */
const isOwn = ({ here, target }: FoundTarget): boolean =>
  here && (target.kind === "peer" || target.endpoint?.id === EXPOSED);

interface PingOptions {
  readonly count: number;
  /** Seconds. */
  readonly interval: number;
  readonly timeout: number;
}

/** Sends the probes, one after another, until all are sent or the user interrupts. */
async function sendAll(
  found: FoundTarget,
  { count, interval, timeout }: PingOptions,
  print: (lines: readonly string[]) => void,
): Promise<ProbeReply[]> {
  const { target, here } = found;
  const form = new URLSearchParams({
    ...(here ? {} : { peer: target.peer }),
    ...(target.kind === "container" && target.address !== "" ? { address: target.address, mac: target.mac } : {}),
    wait: String(timeout),
  });
  const probes: ProbeReply[] = [];
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once("SIGINT", interrupt);
  try {
    while (probes.length < count && !stop.signal.aborted) {
      const started = performance.now();
      const answerMs = REPORT_MS + timeout * 1_000;
      const call = callJson<ProbeReply>({ method: "POST", path: "/probes/send", form, answerMs });
      const reply = await Promise.race([call, aborted(stop.signal)]);
      if (reply === undefined) break;
      probes.push(reply);
      print([pingLine(found, probes.length, reply)]);
      const rest = interval * 1_000 - (performance.now() - started);
      if (probes.length < count && rest > 0) await Promise.race([wait(rest), aborted(stop.signal)]);
    }
    return probes;
  } finally {
    process.off("SIGINT", interrupt);
  }
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });

const wait = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
