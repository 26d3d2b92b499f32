import type { RequestOptions } from "#ipam/allocation/requests.js";
import { subjectText } from "#ipam/allocation/wait-queue.js";
import { explainAddress, explainPeer } from "#ipam/explain.js";
import { type Lease, leaseText, parseAddress, parseLease, parseSubnet } from "#ipam/ring/subnet.js";
import type { Ipam } from "#router/addresses/ipam.js";
import { linesAnswer, NO_CONTENT, type Request, type Route, route } from "#router/route.js";
import { timeoutOf } from "#router/timeout.js";
import { isIpv4 } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";
import { type Answer, JSON_TYPE } from "#src/http/answer.js";
import type { Log } from "#src/log.js";

/** Time after which `DELETE /peer/:who` answers even if some peers have not agreed. */
const AGREEMENT_MS = 5_000;

export interface AddressRoutesDeps {
  readonly ipam: Ipam;
  /** Rejects a request for a container that has ended; undefined without Docker. @throws WEAVE_DOCKER */
  readonly requireRunning: ((ident: string) => Promise<void>) | undefined;
  readonly log: Log;
}

/** The path parameters of a request: a holder, and a subnet. Without a subnet the default subnet is used. */
type Holder = { readonly ident: string; readonly ip?: string; readonly prefix?: string };

/** The routes of IPAM. */
export function addressRoutes(deps: AddressRoutesDeps): Route[] {
  const { ipam } = deps;
  const { requests } = ipam.allocator;
  const subnetOf = ({ ip, prefix }: Holder) => (ip === undefined ? ipam.defaultSubnet : parseSubnet(`${ip}/${prefix}`));
  const lookup = ({ params }: { readonly params: Holder }): Answer => ({
    body: requests.lookup(params.ident, subnetOf(params)).map(leaseText).join(" "),
  });
  const allocate = async (request: Request<"ident">): Promise<Answer> => {
    const { params } = request;
    await checkHolder(request, deps);
    return { body: leaseText(await requests.allocate(params.ident, subnetOf(params), requestOptions(request))) };
  };
  const prime = async (request: Request): Promise<Answer> => {
    await requests.prime(requestOptions(request));
    return {};
  };
  return [
    // The request starts the election, so it is a change.
    route("GET /ring", prime, { changes: true }),
    route("GET /ipinfo/defaultsubnet", () => ({ body: ipam.defaultSubnet.text })),
    route("GET /ipinfo/tracker", () => ({ body: "\n" })),
    route("GET /ipinfo/waiting", ({ form }) => ({ body: waitingText(ipam, form.get("ident")) })),
    route("GET /ipinfo/explain", ({ form }) => linesAnswer(explain(ipam, form.get("what") ?? ""))),
    route("GET /ip", () => ({ type: JSON_TYPE, body: ownedJson(ipam) })),
    route("GET /ip/:ident", lookup),
    route("GET /ip/:ident/:ip/:prefix", lookup),
    route("POST /ip/:ident", allocate),
    route("POST /ip/:ident/:ip/:prefix", allocate),
    route("PUT /ip/:ident/:ip/:prefix", (request) => claim(deps, request)),
    route("DELETE /ip/:ident", ({ params: { ident } }) => {
      requests.freeAll(ident);
      return NO_CONTENT;
    }),
    route("DELETE /ip/:ident/:ip", ({ params: { ident, ip } }) => {
      try {
        requests.free(ident, parseAddress(ip));
      } catch (error) {
        const code = error instanceof WeaveError && error.code === "WEAVE_IPAM_NOT_FOUND" ? error.code : "WEAVE_IPAM";
        throw new WeaveError(code, `Unable to free: ${errorText(error)}`, { cause: error });
      }
      return NO_CONTENT;
    }),
    route("DELETE /peer", () => {
      ipam.allocator.leave();
      return NO_CONTENT;
    }),
    route("DELETE /peer/:who", ({ params: { who }, form }) => removePeer(ipam, who, form.get("force") === "true")),
  ];
}

/** Checks that the holder runs, if the client requests this check. @throws WEAVE_DOCKER when the container has ended */
async function checkHolder({ params, form }: Request<"ident">, { requireRunning }: AddressRoutesDeps): Promise<void> {
  if (form.get("check-alive") === "true") await requireRunning?.(params.ident);
}

function requestOptions({ form, signal }: Pick<Request, "form" | "signal">): RequestOptions {
  const timeoutMs = timeoutOf(form);
  return {
    signal,
    container: form.get("check-alive") === "true",
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

async function claim(deps: AddressRoutesDeps, request: Request<"ident" | "ip" | "prefix">): Promise<Answer> {
  const { allocator } = deps.ipam;
  const { ident, ip, prefix } = request.params;
  await checkHolder(request, deps);
  try {
    const lease: Lease = parseLease(`${ip}/${prefix}`);
    // With `patient` the client does not wait for the ring. An error is then logged.
    const patient = request.form.get("noErrorOnUnknown") === "true" && allocator.ring === undefined;
    const { signal, ...options } = requestOptions(request);
    const claimed = allocator.requests.claim(ident, lease, patient ? options : { ...options, signal });
    if (patient) {
      claimed.catch((error) => deps.log.warn("an address could not be claimed", { ident, why: errorText(error) }));
      return NO_CONTENT;
    }
    await claimed;
  } catch (error) {
    if (!(error instanceof WeaveError)) throw error;
    throw new WeaveError(error.code, `Unable to claim: ${error.message}`, {
      cause: error,
      ...(error.next === undefined ? {} : { next: error.next }),
    });
  }
  return NO_CONTENT;
}

async function removePeer({ allocator, directory }: Ipam, who: string, force: boolean): Promise<Answer> {
  const shown = JSON.stringify(who.slice(0, 64));
  if (who === allocator.self || who === directory.nickname(allocator.self)) {
    throw new WeaveError("WEAVE_PEER_INVALID", `${shown} is this peer itself, and not dead`, {
      next: "'weave reset' hands its addresses over and removes it.",
    });
  }
  if (allocator.ownerCalled(who) === undefined && !directory.isKnown(who)) {
    throw new WeaveError("WEAVE_PEER_INVALID", `no peer called ${shown} was ever seen here`, {
      next: "'weave status ipam' lists the peers that own addresses.",
    });
  }
  const { count, agreed } = allocator.removePeer(who, force);
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    agreed,
    new Promise((resolve) => {
      timer = setTimeout(resolve, AGREEMENT_MS);
    }),
  ]);
  clearTimeout(timer);
  const names = (peers: Iterable<string>) => [...peers].map((peer) => allocator.peerText(peer)).join(", ");
  const lines = [`${count} IPs taken over from ${who}`];
  if (count > 0n && allocator.takeover !== undefined)
    lines.push(
      `They are allocated as soon as these agree: ${names(allocator.takeover.waiting)} (see 'weave status ipam')`,
    );
  if (count > 0n && allocator.takeover === undefined && allocator.missingAgreement.length > 0) {
    lines.push(
      `Unreachable, so that their agreement is missing: ${names(allocator.missingAgreement)}. If they are alive, addresses that ${who} donated to them last may be allocated twice.`,
    );
  }
  return { body: `${lines.join("\n")}\n` };
}

function waitingText({ allocator }: Ipam, ident: string | null): string {
  return allocator.waiters
    .filter((waiter) => ident === null || waiter.ident === ident)
    .map((waiter) => {
      const { why, next } = waiter.reason();
      return `${subjectText(waiter)}: waits for ${why}\n${next}\n`;
    })
    .join("");
}

function explain({ allocator }: Ipam, what: string): string[] {
  if (isIpv4(what)) return explainAddress(allocator, parseAddress(what));
  const peer = what === "" ? allocator.self : allocator.ownerCalled(what);
  if (peer === undefined) {
    throw new WeaveError(
      "WEAVE_IPAM_NOT_FOUND",
      `no peer called ${JSON.stringify(what.slice(0, 64))} owns any addresses`,
      {
        next: "Give an IP address, or a peer's name or nickname as 'weave status ipam' shows it.",
      },
    );
  }
  return explainPeer(allocator, peer);
}

function ownedJson({ allocator }: Ipam): string {
  const owned = [...allocator.leases.all()].map(({ ident, leases }) => ({
    containerid: ident,
    addrs: leases.map(leaseText),
  }));
  return JSON.stringify({ owned });
}
