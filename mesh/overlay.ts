import type { Hello } from "#mesh/channel.js";
import { visible } from "#mesh/peer.js";
import { Refusal } from "#mesh/refusals.js";

/**
 * How frames travel to a neighbour. The mesh brings the two ends together, agrees on the carriers, and sends the overlay's
 * own messages over the secured connection; the overlay reports when frames pass in both directions.
 */
export interface Overlay {
  /** Names of the carriers that this end has, best first: at most 8, of at most 16 characters. */
  readonly carriers: readonly string[];
  open(link: OverlayLink): OverlayConnection;
}

/** The mesh's side of one connection. */
export interface OverlayLink {
  readonly remote: Hello;
  /** The carriers that both ends have, in the order that both ends use. Never empty. */
  readonly carriers: readonly string[];
  /** We dialled. */
  readonly outbound: boolean;
  readonly remoteHost: string;
  /** Our own address of the connection: the one by which the other end reaches us. */
  readonly localHost: string;
  /** The port at which the other end listens, where we dialled it. */
  readonly remotePort: number | undefined;
  readonly encrypted: boolean;
  /** A secret that only both ends of this connection have. */
  readonly secret: Uint8Array;
  /**
   * Sends a message to the other end's overlay, in order.
   *
   * @param sent called when the message has left this process, or never will
   */
  send(message: Uint8Array, sent?: () => void): void;
  /** Frames pass both ways (true), or by no carrier (false, as at first). Repeated calls do nothing. */
  passes(passing: boolean): void;
  /**
   * The overlay has no answers of its own from the other end: the connection itself must show that the other end is there
   * (true); or it has them again (false). Repeated calls do nothing.
   */
  doubt(doubtful: boolean): void;
}

/** Plain values for status and report, by name. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface OverlayConnection {
  /** A message of the other end's overlay. @throws when it is malformed */
  receive(message: Uint8Array): void;
  /** The carrier that frames take, or will take first; for status and metrics. */
  readonly name: string;
  /** The number by which the frame threads send to this neighbour; undefined: they cannot. */
  readonly nextHop: number | undefined;
  /** For status, beside the name: `mtu=1394` and the like. */
  attributes(): Attributes;
  diagnostics(): OverlayDiagnostics;
  stop(): void;
}

export interface OverlayDiagnostics {
  /** How often the keys of frames have changed. */
  readonly keyEpoch: number;
  /** The carrier in use, why not a better one, and since when (ISO 8601); undefined: none is. */
  readonly selection: { readonly carrier: string; readonly reason: string; readonly since: string } | undefined;
  /** The carriers that both ends have, best first. */
  readonly carriers: readonly CarrierDiagnostics[];
}

export interface CarrierDiagnostics {
  readonly name: string;
  readonly condition: "probing" | "usable" | "failed";
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
  /** The carrier's own. */
  readonly figures: Attributes;
}

/** Builds that do not read the list name one carrier. It stands for these two: such builds have both. */
const UNREAD_LIST = "sleeve";
const UNREAD_LIST_MEANS: readonly string[] = ["sleeve", "stream"];

/**
 * The carriers that both ends have, in the dialler's order of preference, as in SSH (RFC 4253 section 7.1): the same list at
 * both ends. A peer that lists nothing but "sleeve" gets sleeve, and stream where UDP does not pass.
 *
 * @param ours,theirs `overlays` of the two hellos
 * @param outbound we dialled
 * @throws Refusal when the ends have none in common
 */
export function agreeOnCarriers(ours: readonly string[], theirs: readonly string[], outbound: boolean): string[] {
  const [here, there] = [meaningOfList(ours), meaningOfList(theirs)];
  const [preferred, possible] = outbound ? [here, there] : [there, here];
  const agreed = [...new Set(preferred)].filter((name) => possible.includes(name));
  if (agreed.length > 0) return agreed;
  const text = (list: readonly string[]) => visible(list.join(", ")) || "none";
  throw new Refusal(
    "carrier",
    `no carrier in common (here: ${text(here)}; there: ${text(there)}): upgrade the end that lacks the other's`,
  );
}

/** The carriers that a list in a hello stands for. */
export const meaningOfList = (list: readonly string[]): readonly string[] =>
  list.length === 1 && list[0] === UNREAD_LIST ? UNREAD_LIST_MEANS : list;
