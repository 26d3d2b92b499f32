import { setTimeout as delay } from "node:timers/promises";
import type { Mesh } from "#mesh/mesh.js";
import { peerText } from "#mesh/peer.js";
import { type NamedPeer, ordererText } from "#mesh/rekey/order.js";
import { DEFAULT_DEADLINE_MS } from "#mesh/rekey/rekey.js";
import { MAX_PASSWORD } from "#router/peers/flags.js";
import { passwordKey } from "#router/peers/password.js";
import { passwordWeakness } from "#router/peers/password-strength.js";
import { secretBlocks, secretMetrics, secretReport } from "#router/peers/rekey-report.js";
import { type Request, route } from "#router/route.js";
import type { Service } from "#router/service.js";
import { WeaveError } from "#src/errors.js";
import { jsonAnswer } from "#src/http/answer.js";

/** Time after which the answer to an order names the peers that lack the secret. */
const CONFIRM_MS = 5_000;
const CONFIRM_EVERY_MS = 50;

export interface RekeyServiceDeps {
  readonly mesh: Mesh;
  readonly settings: { readonly encryption: boolean };
}

/** The change of the network's password: `weave rekey`, its paragraph of status, report and metrics. */
export function rekeyService(deps: RekeyServiceDeps): Service {
  const { mesh } = deps;
  return {
    name: "password",
    routes: () => [
      // Only root reaches the socket: over TCP a token could be copied, and the password be read.
      route("POST /rekey", async ({ form }) => ({ body: await rekey(deps, form) }), { scope: "socket" }),
      route("GET /rekey", () => jsonAnswer(secretReport(mesh))),
    ],
    report: () => ({ Secret: secretReport(mesh) }),
    statusBlocks: () => secretBlocks(secretReport(mesh)),
    metrics: () => secretMetrics(mesh),
  };
}

/** Orders the change that a form describes. @returns what happened, for the operator @throws WEAVE_REKEY, WEAVE_PEER_INVALID */
async function rekey({ mesh, settings }: RekeyServiceDeps, form: Request["form"]): Promise<string> {
  const password = form.get("password");
  const open = form.get("open") === "true";
  if ((password === null) !== open || password === "" || (password?.length ?? 0) > MAX_PASSWORD)
    throw new WeaveError("WEAVE_REKEY", `the new password must have 1 to ${MAX_PASSWORD} characters`, {
      next: "'weave rekey --password-file FILE' reads it from the first line of a file.",
    });
  if (password !== null && !settings.encryption)
    throw new WeaveError("WEAVE_REKEY", "encryption is off on this host: a password could not protect anything", {
      next: "Launch without --encryption=off first.",
    });
  const excluded = form.getAll("exclude").map((who) => peerCalled(mesh, who));
  const key = password === null ? undefined : await passwordKey(password);
  const order = mesh.rekey.order({
    key,
    excluded,
    deadlineMs: milliseconds(form, "deadline", DEFAULT_DEADLINE_MS),
    acceptEarlierMs: milliseconds(form, "accept-old", 0),
  });
  await confirmed(mesh);
  const weakness = password === null ? undefined : passwordWeakness(password);
  const { order: inForce, lacking, earlierUntil } = mesh.rekey.status();
  const lines = [
    `The network has ${open ? "no password" : "a new password"}. Launch each host with ${open ? "none" : "it"} the next time: update its --password-file or options.`,
  ];
  if (weakness !== undefined) lines.push(`WARNING: the password is weak: ${weakness}`);
  if (inForce !== undefined && inForce.id !== order.id)
    lines.push(`A later order of ${ordererText(inForce)} has replaced this one: its password is in force.`);
  if (lacking.length > 0) lines.push(`These peers have not confirmed it yet: ${lacking.map(peerText).join(", ")}`);
  if (earlierUntil !== undefined)
    lines.push(
      `Peers that are known can still use the earlier one, until all have confirmed, at the latest until ${new Date(earlierUntil).toISOString()}: see 'weave status'.`,
    );
  for (const { nickname, name } of excluded)
    lines.push(
      `${peerText({ name, nickname })} is excluded: its connections end on all hosts, and it cannot return. 'weave rmpeer ${name}' takes over its addresses when it is unreachable, after about a minute.`,
    );
  return `${lines.join("\n")}\n`;
}

/** Waits until all reachable peers have the secret, or {@link CONFIRM_MS}. */
async function confirmed(mesh: Mesh): Promise<void> {
  for (let waited = 0; waited < CONFIRM_MS && mesh.rekey.status().lacking.length > 0; waited += CONFIRM_EVERY_MS)
    await delay(CONFIRM_EVERY_MS);
}

/** @throws WEAVE_PEER_INVALID for an unknown peer, and for a nickname of several */
function peerCalled(mesh: Mesh, who: string): NamedPeer & { readonly nickname: string } {
  const pins = mesh.trust.find(who);
  const shown = JSON.stringify(who.slice(0, 300));
  if (pins.length === 1) return pins[0];
  throw new WeaveError(
    "WEAVE_PEER_INVALID",
    pins.length === 0
      ? `no peer is called ${shown}`
      : `several peers are called ${shown}: ${pins.map(({ name }) => name).join(", ")}`,
    { next: "'weave trust' lists the peers that are known here, with their names and fingerprints." },
  );
}

function milliseconds(form: Request["form"], name: string, otherwise: number): number {
  const value = form.get(name);
  if (value === null) return otherwise;
  const seconds = Number(value);
  if (!Number.isSafeInteger(seconds) || seconds < 0)
    throw new WeaveError("WEAVE_REKEY", `${name} is no number of seconds`);
  return seconds * 1_000;
}
