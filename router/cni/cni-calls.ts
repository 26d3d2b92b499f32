import type { Ipam } from "#router/addresses/ipam.js";
import type { CniAttachmentRequest, CniAttachments } from "#router/cni/cni-attachments.js";
import { type CniCommand, parseCniCall } from "#router/cni/cni-call.js";
import { checkInterface, checkLeases } from "#router/cni/cni-check.js";
import { parseCniConfiguration, parseCniJson } from "#router/cni/cni-configuration.js";
import { CniError, cniErrorBody } from "#router/cni/cni-error.js";
import type { CniIpamHolders } from "#router/cni/cni-ipam-holders.js";
import { type CniRequest, type DelegateOutcome, parseCniRequest } from "#router/cni/cni-request.js";
import { type CniResult, cniResultBody, NO_RESULT, parseCniResult } from "#router/cni/cni-result.js";
import { planRoutes } from "#router/cni/cni-routes.js";
import { CNI_VERSIONS, type CniVersion, cniVersionOf, isAtLeast, NEWEST_CNI } from "#router/cni/cni-version.js";
import { errorText, WeaveError } from "#src/errors.js";
import { type Answer, JSON_TYPE } from "#src/http/answer.js";
import { findBridge } from "#src/linux/links/bridge.js";
import { listLinks } from "#src/linux/links/links.js";
import {
  type CniAttachmentId,
  cniIdent,
  cniIpamIdent,
  parseCniAlias,
  parseCniIdent,
  parseCniIpamIdent,
} from "#src/linux/netns/cni-ident.js";
import { inspectCniPair } from "#src/linux/netns/cni-interface.js";
import { findNetns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";

/** Maximum characters of an error in the log: other plugins have a say in it. */
const MAX_LOGGED = 500;
/** Limit for the check whether addresses can be allocated. */
const STATUS_MS = 2_000;

/** `net` makes interfaces; `ipam` only assigns addresses, for the interfaces of another plugin. */
export type CniPlugin = "net" | "ipam";

export interface CniCallsDeps {
  readonly attachments: CniAttachments;
  /** Undefined when address allocation is off. */
  readonly ipam: Ipam | undefined;
  readonly holders: CniIpamHolders | undefined;
  readonly bridge: string;
  readonly log: Log;
}

/** One parsed call. */
interface Call extends CniAttachmentRequest {
  readonly plugin: CniPlugin;
  /** The outcome of the delegated plugin; undefined before the client has executed it. */
  readonly outcome: DelegateOutcome | undefined;
}

/** Answers the calls of CNI runtimes, by the specification: https://github.com/containernetworking/cni/blob/main/SPEC.md */
export class CniCalls {
  readonly #deps: CniCallsDeps;
  readonly #handlers: Readonly<Record<Exclude<CniCommand, "VERSION">, (call: Call) => Promise<Answer>>>;

  constructor(deps: CniCallsDeps) {
    this.#deps = deps;
    this.#handlers = {
      ADD: (call) => this.#add(call),
      DEL: (call) => this.#delete(call),
      CHECK: (call) => this.#check(call),
      STATUS: (call) => this.#status(call),
      GC: (call) => this.#collect(call),
    };
  }

  /** Number of interfaces and addresses of CNI containers. */
  count(): number {
    return this.#idents().length;
  }

  /** Answers a call. Never rejects: a failure is an answer too. */
  async handle(plugin: CniPlugin, body: Buffer, signal: AbortSignal): Promise<Answer> {
    let version: CniVersion = NEWEST_CNI;
    try {
      const request = parseCniRequest(body);
      const call = parseCniCall(request.environment);
      const json = call.command === "VERSION" && request.stdin.trim() === "" ? {} : parseCniJson(request.stdin);
      if (call.command === "VERSION") return versionAnswer(json.cniVersion);
      version = cniVersionOf(json.cniVersion);
      const configuration = parseCniConfiguration(json);
      requireVersion(call.command, version);
      return await this.#handlers[call.command]({
        plugin,
        call,
        configuration,
        ...outcomeOf(request),
        delegated: undefined,
        signal,
      });
    } catch (error) {
      return this.#failure(error, version);
    }
  }

  /** Replays a DEL that the client has stored while no router ran. @throws CniError for another command */
  async replay(plugin: CniPlugin, body: Buffer, signal: AbortSignal): Promise<void> {
    const request = parseCniRequest(body);
    const call = parseCniCall(request.environment);
    if (call.command !== "DEL") throw new CniError("decoding", `a stored call is ${call.command}, not DEL`);
    const configuration = parseCniConfiguration(parseCniJson(request.stdin));
    // The client has executed the delegated plugin itself.
    const outcome = { status: 0, stdout: "" };
    await this.#delete({ plugin, call, configuration, outcome, delegated: undefined, signal });
  }

  #failure(error: unknown, version: CniVersion, undo?: string): Answer {
    const body = cniErrorBody(error, version);
    this.#deps.log.warn("a CNI call failed", { code: body.code, why: errorText(error).slice(0, MAX_LOGGED) });
    return {
      status: 422,
      type: JSON_TYPE,
      body: JSON.stringify(body),
      ...(undo === undefined ? {} : { headers: delegateHeaders(undo, "DEL") }),
    };
  }

  async #add(call: Call): Promise<Answer> {
    const { plugin, configuration } = call;
    const { version, delegate } = configuration;
    if (plugin === "ipam") return resultAnswer(await this.#assign(call), version);
    this.#deps.attachments.checkConfiguration(configuration);
    if (delegate === undefined) return resultAnswer(await this.#deps.attachments.add(call), version);
    if (call.outcome === undefined) return delegation(delegate, "ADD");
    try {
      const delegated = parseCniResult(outputOf(call.outcome, delegate), `the result of ${delegate}`);
      return resultAnswer(await this.#deps.attachments.add({ ...call, delegated }), version);
    } catch (error) {
      return this.#failure(error, version, delegate);
    }
  }

  /** Assigns addresses to another plugin's interface. */
  async #assign(call: Call): Promise<CniResult> {
    const { ipam, network } = call.configuration;
    const ident = cniIpamIdent({ network, ...call.call });
    const { routes } = planRoutes({ addresses: [], routes: ipam.routes ?? [], gateways: [] });
    const addresses = await this.#deps.attachments.allocate(call, ident, () =>
      this.#deps.holders?.record(ident, call.call.netns),
    );
    return {
      ...NO_RESULT,
      ips: addresses.map((address) => ({ address, gateway: ipam.gateway })),
      routes,
    };
  }

  async #delete(call: Call): Promise<Answer> {
    const { attachments, holders } = this.#deps;
    const id = { network: call.configuration.network, ...call.call };
    if (call.plugin === "ipam") {
      const ident = cniIpamIdent(id);
      await attachments.inTurn(ident, async () => {
        attachments.release(ident);
        holders?.forget(ident);
      });
      return {};
    }
    await attachments.remove(cniIdent(id));
    return this.#thenDelegate(call, "DEL");
  }

  async #check(call: Call): Promise<Answer> {
    const { ipam, bridge } = this.#deps;
    const { configuration, plugin } = call;
    const { network, previous, delegate } = configuration;
    if (previous === undefined)
      throw new CniError("invalidConfiguration", 'CHECK needs "prevResult" in the network configuration', {
        next: "The container runtime keeps the result of ADD, and sends it.",
      });
    const ipamOf = ipam && { requests: ipam.allocator.requests, defaultSubnet: ipam.defaultSubnet };
    if (plugin === "ipam") {
      checkLeases(previous, cniIpamIdent({ network, ...call.call }), ipamOf);
      return {};
    }
    const ident = cniIdent({ network, ...call.call });
    const state = await inspectCniPair(ident, findNetns(call.call.netns), call.call.ifname);
    checkInterface({ call: call.call, configuration, previous, bridge }, state);
    if (delegate === undefined) checkLeases(previous, ident, ipamOf);
    return this.#thenDelegate(call, "CHECK");
  }

  async #status(call: Call): Promise<Answer> {
    const { ipam, bridge } = this.#deps;
    if (call.plugin === "net" && (await findBridge(bridge)) === undefined)
      throw new CniError("limitedConnectivity", `the bridge ${bridge} is missing on this host`, {
        next: "'weave status' shows the problem; 'weave restart' makes the bridge again.",
      });
    if (call.plugin === "ipam" || call.configuration.delegate === undefined) {
      if (ipam === undefined)
        throw new CniError("unavailable", "address allocation is off on this host", {
          next: 'Launch with an --ipalloc-range, or set another "ipam" plugin in the network configuration.',
        });
      await primed(ipam, call.signal);
    }
    return this.#thenDelegate(call, "STATUS");
  }

  /** Releases all attachments of a network but those that the runtime lists. Continues after an error, and reports the first one. */
  async #collect(call: Call): Promise<Answer> {
    const { attachments, holders, log } = this.#deps;
    const { network, "cni.dev/valid-attachments": valid } = call.configuration;
    if (!valid)
      throw new CniError("invalidConfiguration", 'GC needs "cni.dev/valid-attachments" in the network configuration', {
        next: "Without the list, all containers would lose their addresses: nothing was removed.",
      });
    const kept = new Set(valid.map(({ containerID, ifname }) => `${containerID}:${ifname}`));
    const parse = call.plugin === "net" ? parseCniIdent : parseCniIpamIdent;
    const aliases =
      call.plugin === "net" ? (await listLinks()).flatMap(({ ifalias }) => parseCniAlias(ifalias)?.ident ?? []) : [];
    const errors: unknown[] = [];
    for (const ident of new Set([...this.#idents(), ...aliases])) {
      const id = parse(ident);
      if (id === undefined || id.network !== network || kept.has(`${id.container}:${id.ifname}`)) continue;
      try {
        if (call.plugin === "net") await attachments.remove(ident);
        else attachments.release(ident);
        holders?.forget(ident);
        log.info("a CNI container is gone: its address is released", { container: id.container, network });
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
    return call.plugin === "ipam" ? {} : this.#thenDelegate(call, "GC");
  }

  /** The answer of a command that weave has finished: the delegated plugin's turn, or its error, or success. */
  #thenDelegate({ configuration: { delegate }, outcome }: Call, command: CniCommand): Answer {
    if (delegate === undefined) return {};
    if (outcome === undefined) return delegation(delegate, command);
    if (outcome.status !== 0) throw delegateError(outcome, delegate);
    return {};
  }

  #idents(): string[] {
    const idents = this.#deps.ipam?.idents() ?? [];
    return [...idents].filter((ident) => parseCniIdent(ident) ?? parseCniIpamIdent(ident));
  }
}

/** The attachment that a call is about. @throws CniError for a malformed call */
export function attachmentOf(plugin: CniPlugin, body: Buffer): string {
  const { environment, stdin } = parseCniRequest(body);
  const { network } = parseCniConfiguration(parseCniJson(stdin));
  return identOf(plugin, { network, ...parseCniCall(environment) });
}

/** The attachment that an ADD makes; undefined for other calls, and for malformed ones. */
export function addedAttachment(plugin: CniPlugin, body: Buffer): string | undefined {
  try {
    return parseCniCall(parseCniRequest(body).environment).command === "ADD" ? attachmentOf(plugin, body) : undefined;
  } catch {
    return undefined;
  }
}

const identOf = (plugin: CniPlugin, id: CniAttachmentId): string =>
  plugin === "net" ? cniIdent(id) : cniIpamIdent(id);

const outcomeOf = ({ delegates }: CniRequest) => ({ outcome: delegates.at(-1) });

/** @throws CniError 1: the runtime must not call a command that the version of the configuration does not have */
function requireVersion(command: CniCommand, version: CniVersion): void {
  const least = command === "CHECK" ? "0.4.0" : command === "STATUS" || command === "GC" ? "1.1.0" : "0.1.0";
  if (isAtLeast(version, least)) return;
  throw new CniError(
    "incompatibleVersion",
    `${command} needs version ${least} of CNI, and the network configuration has ${version}`,
    {
      next: 'The runtime must not call it; or set a newer "cniVersion".',
    },
  );
}

async function primed(ipam: Ipam, signal: AbortSignal): Promise<void> {
  try {
    await ipam.allocator.requests.prime({ signal, timeoutMs: STATUS_MS });
  } catch (error) {
    const next = error instanceof WeaveError ? error.next : undefined;
    throw new CniError("unavailable", error instanceof Error ? error.message : String(error), {
      cause: error,
      ...(next === undefined ? {} : { next }),
    });
  }
}

function versionAnswer(value: unknown): Answer {
  const cniVersion = typeof value === "string" && value !== "" ? value : NEWEST_CNI;
  return { type: JSON_TYPE, body: JSON.stringify({ cniVersion, supportedVersions: CNI_VERSIONS }) };
}

const resultAnswer = (result: CniResult, version: CniVersion): Answer => ({
  type: JSON_TYPE,
  body: JSON.stringify(cniResultBody(result, version)),
});

const delegateHeaders = (name: string, command: CniCommand) => ({
  "Weave-Delegate": name,
  "Weave-Delegate-Command": command,
});

/** Has the client execute another plugin, and call again with its outcome. */
const delegation = (name: string, command: CniCommand): Answer => ({
  status: 202,
  headers: delegateHeaders(name, command),
});

function outputOf(outcome: DelegateOutcome, name: string): unknown {
  if (outcome.status !== 0) throw delegateError(outcome, name);
  try {
    return JSON.parse(outcome.stdout);
  } catch (cause) {
    throw new CniError("decoding", `the result of ${name} is no JSON`, { cause });
  }
}

/** The error of a delegated plugin: its own code and message, where it returned them. */
function delegateError({ status, stdout }: DelegateOutcome, name: string): CniError {
  try {
    const { code, msg, details } = JSON.parse(stdout) as { code?: unknown; msg?: unknown; details?: unknown };
    if (Number.isSafeInteger(code) && typeof msg === "string")
      return new CniError(code as number, `${name}: ${msg}`, typeof details === "string" ? { next: details } : {});
  } catch {
    // Not an error result.
  }
  return new CniError("delegateFailed", `${name} ended with status ${status}: ${stdout.trim().slice(0, 500)}`);
}
