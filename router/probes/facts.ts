import * as z from "zod/mini";
import { type PeerName, peerNameShape } from "#mesh/peer.js";
import { MAX_PROBES } from "#router/probes/prober.js";
import { isCidr, isIpv4 } from "#src/address.js";
import { VISIBLE_TEXT } from "#src/text.js";

/*
 * What a router reports of itself when another one of the network asks: facts that a member may know. Everything of another peer is bounded and
 * free of control characters, as people read it on terminals.
 */

/** Maximum number of interfaces in an answer: a container has one, an address that is in use twice two. */
export const MAX_ENDPOINTS = 4;
/** Maximum number of characters of a reason. */
export const MAX_REASON = 300;
/** Longest subject of a question: a name of weaveDNS. */
export const MAX_PROBE_TARGET = 255;
/** Longest round trip that counts, in milliseconds. */
const MAX_MS = 60_000;
const MAX_ADDRESSES = 16;

const visible = (most: number) => z.string().check(z.maxLength(most), z.regex(VISIBLE_TEXT));
const count = (most: number) => z.number().check(z.int(), z.gte(0), z.lte(most));
const peerOrNone = z.union([z.literal(""), peerNameShape]);
const address = z.string().check(z.maxLength(15), z.refine(isIpv4));
const cidr = z.string().check(z.maxLength(18), z.refine(isCidr));

const tripsShape = z.object({
  sent: count(MAX_PROBES),
  times: z.array(z.number().check(z.gte(0), z.lte(MAX_MS))).check(z.maxLength(MAX_PROBES)),
});

/** The next hop of frames to a peer, and the probes to it. */
export const legShape = z.object({
  kind: z.literal("leg"),
  /** "" : there is no route. */
  via: peerOrNone,
  /** "" : none, or not known. */
  carrier: visible(16),
  encrypted: z.boolean(),
  /** Bytes of the largest packet that travels whole; 0: not known. */
  mtu: count(65_535),
  /** Why no carrier works, or not the preferred one; "" where all is well. */
  reason: visible(MAX_REASON),
  small: tripsShape,
  /** Probes as large as `fullBytes`: the MTU of this host's bridge, if it is not above that of jumbo frames. */
  full: tripsShape,
  fullBytes: count(65_535),
});

/** An interface of a container, or of the host itself, on the bridge of the host that answers. */
export const endpointFactsShape = z.object({
  /** Full id of the container, name of a namespace, or `weave:expose`. */
  id: visible(255),
  /** "" without one. */
  name: visible(255),
  /** `ended`: its address is kept for a while. */
  state: z.enum(["running", "paused", "ended"]),
  /** "" : it has no interface on the bridge. */
  mac: peerOrNone,
  addresses: z.array(cidr).check(z.maxLength(MAX_ADDRESSES)),
  /** The port of the bridge; "" for the host itself, and where there is none. */
  port: visible(15),
  /** As the kernel names it: `forwarding`, `disabled`, `blocking`, …; "" without a port. */
  portState: visible(16),
  /** Whether the port is cut off from the overlay's ports. */
  isolated: z.boolean(),
  /** Whether the interface inside of the container is up. */
  up: z.boolean(),
  /** MTU of the interface inside; 0: not known. */
  mtu: count(65_535),
  /** ARP probes from the bridge of its own host. */
  arp: tripsShape,
});

export const endpointsShape = z.object({
  kind: z.literal("endpoints"),
  endpoints: z.array(endpointFactsShape).check(z.maxLength(MAX_ENDPOINTS)),
});

/** Probes from the host that answers to the far end: to its host, and to an address there. */
export const reachShape = z.object({
  kind: z.literal("reach"),
  host: tripsShape,
  container: tripsShape,
  /** The MACs that answered for the address. */
  macs: z.array(peerNameShape).check(z.maxLength(MAX_ENDPOINTS)),
  /** The host to which it sends frames for the MAC; "" : it does not know. */
  place: peerOrNone,
});

/** An answer that has no facts. */
export const refusedShape = z.object({ kind: z.literal("refused"), why: visible(MAX_REASON) });

export const answerShape = z.discriminatedUnion("kind", [legShape, endpointsShape, reachShape, refusedShape]);

/** Questions to a router. */
export const questionShape = z.discriminatedUnion("ask", [
  /** The next hop of frames to a peer. */
  z.object({ ask: z.literal("leg"), to: peerNameShape }),
  /** The interfaces of a container, by its id, name, address or MAC. */
  z.object({ ask: z.literal("endpoints"), what: visible(MAX_PROBE_TARGET) }),
  /** Whether the far end answers; without address only its host is probed. */
  z.object({
    ask: z.literal("reach"),
    peer: peerOrNone,
    address: z.union([z.literal(""), address]),
    mac: peerOrNone,
  }),
]);

export type LegFacts = z.infer<typeof legShape>;
export type EndpointFacts = z.infer<typeof endpointFactsShape>;
export type EndpointsFacts = z.infer<typeof endpointsShape>;
export type ReachFacts = z.infer<typeof reachShape>;
export type ProbeAnswer = z.infer<typeof answerShape>;
export type ProbeQuestion = z.infer<typeof questionShape>;
/** The facts that answer a question of that sort. */
export type FactsFor<Q extends ProbeQuestion> = Q extends { ask: "leg" }
  ? LegFacts
  : Q extends { ask: "endpoints" }
    ? EndpointsFacts
    : ReachFacts;

/** A peer's name, or none. */
export type PeerOrNone = PeerName | "";
