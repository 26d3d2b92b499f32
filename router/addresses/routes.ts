import type { RequestOptions } from "#ipam/allocation/requests.js";
import { subjectText } from "#ipam/allocation/wait-queue.js";
import { explainAddress, explainPeer } from "#ipam/explain.js";
import { type Lease, leaseText, parseAddress, parseLease, parseSubnet } from "#ipam/ring/subnet.js";
import type { Ipam } from "#router/addresses/ipam.js";
import { type Answer, type Request, type Route, route } from "#router/route.js";
import type { Router } from "#router/router.js";
import { isIpv4 } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";

/** Longest wait a caller may ask for. */
const MAX_WAIT_S = 24 * 3_600;
/** `DELETE /peer/{id}` answers after this long also where not all have agreed yet. */
const AGREEMENT_MS = 5_000;

/** Whose addresses, and in which subnet: the default one where none is named. */
type Holder = { readonly ident: string; readonly ip?: string; readonly prefix?: string };

/** The control API of IPAM. Without IPAM its paths do not exist. */
export function ipamRoutes(router: Router): Route[] {
  const { ipam } = router;
  if (ipam === undefined) return [];
  const { allocator, defaultSubnet } = ipam;
  const subnetOf = ({ ip, prefix }: Holder) => (ip === undefined ? defaultSubnet : parseSubnet(`${ip}/${prefix}`));

  const lookup = ({ params }: { params: Holder }): Answer => ({
    body: allocator.requests.lookup(params.ident, subnetOf(params)).map(leaseText).join(" "),
  });
  const allocate = async (request: Request<"ident">): Promise<Answer> => {
    const { params, form } = request;
    if (form.get("check-alive") === "true") await router.docker?.checkAlive(params.ident);
    return {
      body: leaseText(await allocator.requests.allocate(params.ident, subnetOf(params), holderOptions(request))),
    };
  };
  return [
    // It starts the election.
    route(
      "GET /ring",
      async (request) => {
        await allocator.requests.prime(holderOptions(request));
        return {};
      },
      { changes: true },
    ),
    route("GET /ipinfo/defaultsubnet", () => ({ body: defaultSubnet.text })),
    route("GET /ipinfo/tracker", () => ({ body: "\n" })),
    route("GET /ipinfo/waiting", ({ form }) => ({ body: waitingText(ipam, form.get("ident")) })),
    route("GET /ipinfo/explain", ({ form }) => ({ body: explain(ipam, form.get("what") ?? "") })),
    route("GET /ip", () => ({ type: "application/json", body: ownedJson(ipam) })),
    route("GET /ip/:ident", lookup),
    route("GET /ip/:ident/:ip/:prefix", lookup),
    route("POST /ip/:ident", allocate),
    route("POST /ip/:ident/:ip/:prefix", allocate),
    route("PUT /ip/:ident/:ip/:prefix", (request) => claim(router, ipam, request)),
    route("DELETE /ip/:ident", ({ params: { ident } }) => {
      allocator.requests.freeAll(ident);
      return { status: 204 };
    }),
    route("DELETE /ip/:ident/:ip", ({ params: { ident, ip } }) => {
      try {
        allocator.requests.free(ident, parseAddress(ip));
      } catch (error) {
        const code = error instanceof WeaveError && error.code === "WEAVE_IPAM_NOT_FOUND" ? error.code : "WEAVE_IPAM";
        throw new WeaveError(code, `Unable to free: ${errorText(error)}`, { cause: error });
      }
      return { status: 204 };
    }),
    route("DELETE /peer", () => {
      allocator.leave();
      return { status: 204 };
    }),
    route("DELETE /peer/:who", ({ params: { who }, form }) => removePeer(ipam, who, form.get("force") === "true")),
  ];
}

function holderOptions({ form, signal }: Pick<Request, "form" | "signal">): RequestOptions {
  const text = form.get("timeout");
  const seconds = Number(text);
  if (text !== null && !(seconds >= 0 && seconds <= MAX_WAIT_S)) {
    throw new WeaveError("WEAVE_FLAG_INVALID", `invalid timeout: ${JSON.stringify(text.slice(0, 64))}`, {
      next: `Give seconds from 0 to ${MAX_WAIT_S}.`,
    });
  }
  return {
    signal,
    container: form.get("check-alive") === "true",
    ...(text === null ? {} : { timeoutMs: seconds * 1_000 }),
  };
}

async function claim(
  router: Router,
  { allocator }: Ipam,
  request: Request<"ident" | "ip" | "prefix">,
): Promise<Answer> {
  const { ident, ip, prefix } = request.params;
  if (request.form.get("check-alive") === "true") await router.docker?.checkAlive(ident);
  try {
    const lease: Lease = parseLease(`${ip}/${prefix}`);
    // The caller does not want to wait for the ring: what comes of it is in the log.
    const patient = request.form.get("noErrorOnUnknown") === "true" && allocator.ring === undefined;
    const { signal, ...options } = holderOptions(request);
    const claimed = allocator.requests.claim(ident, lease, patient ? options : { ...options, signal });
    if (patient) {
      claimed.catch((error) => router.log.warn("an address could not be claimed", { ident, why: errorText(error) }));
      return { status: 204 };
    }
    await claimed;
  } catch (error) {
    if (!(error instanceof WeaveError)) throw error;
    throw new WeaveError(error.code, `Unable to claim: ${error.message}`, {
      cause: error,
      ...(error.next === undefined ? {} : { next: error.next }),
    });
  }
  return { status: 204 };
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
      `They are handed out as soon as these agree: ${names(allocator.takeover.waiting)} (see 'weave status ipam')`,
    );
  if (count > 0n && allocator.takeover === undefined && allocator.notAsked.length > 0) {
    lines.push(
      `Out of reach, and not asked: ${names(allocator.notAsked)}. If they are alive, addresses that ${who} gave them last may be given twice.`,
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

function explain({ allocator }: Ipam, what: string): string {
  if (isIpv4(what)) return text(explainAddress(allocator, parseAddress(what)));
  const peer = what === "" ? allocator.self : allocator.ownerCalled(what);
  if (peer === undefined) {
    throw new WeaveError(
      "WEAVE_IPAM_NOT_FOUND",
      `nobody called ${JSON.stringify(what.slice(0, 64))} owns any addresses`,
      {
        next: "Give an IP address, or a peer's name or nickname as 'weave status ipam' shows it.",
      },
    );
  }
  return text(explainPeer(allocator, peer));
}

const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");

function ownedJson({ allocator }: Ipam): string {
  const owned = [...allocator.leases.all()].map(({ ident, leases }) => ({
    containerid: ident,
    addrs: leases.map(leaseText),
  }));
  return JSON.stringify({ owned });
}
