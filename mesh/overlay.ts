import type { Hello } from "#mesh/handshake/hello.js";
import { Refusal } from "#mesh/refusals.js";
import { printableText } from "#src/text.js";

/**
 * The transport of frames to neighbours. The mesh opens a secured connection, agrees on the carriers, and sends the overlay's
 * messages over the connection. The overlay reports whether frames pass in both directions.
 */
export interface Overlay {
  /** Names of the carriers that this end has, best first: at most 8 names of at most 16 characters. */
  readonly carriers: readonly string[];
  /** Opens the overlay on a connection that was admitted. */
  open(link: OverlayLink): OverlayConnection;
}

/** A connection, as the mesh offers it to the overlay. */
export interface OverlayLink {
  readonly remote: Hello;
  /** The carriers that both ends have, in the same order at both ends. Never empty. */
  readonly carriers: readonly string[];
  /** Whether this end dialled. */
  readonly outbound: boolean;
  readonly remoteHost: string;
  /** IP address of this end of the connection, by which the other end reaches this host. */
  readonly localHost: string;
  /** The port on which the other end listens; undefined for an inbound connection. */
  readonly remotePort: number | undefined;
  /** Whether frames must be encrypted. */
  readonly encrypted: boolean;
  /** A secret that only the two ends of this connection know. The overlay zeroes it once it has derived its own. */
  readonly secret: Uint8Array;
  /**
   * Sends a message to the overlay at the other end. Messages arrive in order.
   *
   * @param sent called when the message has left this process, or never will
   */
  send(message: Uint8Array, sent?: () => void): void;
  /** Reports that the message which is handled had frames: its time is no part of the share that the other end's messages have. */
  carried(): void;
  /** Reports whether frames pass in both directions; false at first. Repeated calls do nothing. */
  passes(passing: boolean): void;
  /**
   * Reports whether the overlay has no sign of life from the other end by its carriers (true): the connection must then probe
   * the other end itself. Repeated calls do nothing.
   */
  doubt(doubtful: boolean): void;
}

/** Plain values for status and report, by name. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** An overlay connection in status, beside the name. Undefined: there is nothing to show. */
export interface OverlayStatus {
  readonly encrypted?: boolean | undefined;
  /** Bytes of the largest IP packet of a container that is not cut. */
  readonly mtu?: number | undefined;
  /** Why frames do not take the preferred carrier, and since when (ISO 8601). */
  readonly fallback?: { readonly reason: string; readonly since: string } | undefined;
  /** Why no carrier works. */
  readonly failure?: string | undefined;
  /** Why the carrier works below its possible performance. */
  readonly restriction?: string | undefined;
  /** Attributes of the carrier. */
  readonly carrier?: Attributes | undefined;
}

/** The overlay's side of one connection. */
export interface OverlayConnection {
  /** Handles a message of the overlay at the other end. @throws when it is malformed */
  receive(message: Uint8Array): void;
  /** Name of the carrier in use, or of the one that is tried first; for status and metrics. */
  readonly name: string;
  /** The number of this neighbour in the frame threads; undefined if frames cannot be sent to it. */
  readonly nextHop: number | undefined;
  status(): OverlayStatus;
  diagnostics(): OverlayDiagnostics;
  stop(): void;
}

/** The state of an overlay connection, for the report. */
export interface OverlayDiagnostics {
  /** Number of changes of the data keys. */
  readonly keyEpoch: number;
  /** The carrier in use, why no better one is used, and since when (ISO 8601); undefined if no carrier is in use. */
  readonly selection: { readonly carrier: string; readonly reason: string; readonly since: string } | undefined;
  /** The carriers that both ends have, best first. */
  readonly carriers: readonly CarrierDiagnostics[];
}

/** The state of one carrier. */
export interface CarrierDiagnostics {
  readonly name: string;
  readonly condition: "probing" | "usable" | "failed";
  readonly reason: string;
  /** Time of the last change of the condition, ISO 8601. */
  readonly since: string;
  /** Values that only this carrier has. */
  readonly figures: Attributes;
}

/** Builds that do not read the list of carriers send this one name. It stands for two carriers, which such builds have. */
const UNREAD_LIST = "sleeve";
const UNREAD_LIST_MEANS: readonly string[] = ["sleeve", "stream"];

/**
 * Computes the carriers that both ends have, in the dialler's order of preference, as in SSH (RFC 4253, section 7.1): both ends
 * compute the same list. A peer that lists only "sleeve" gets sleeve, and stream where UDP does not pass.
 *
 * @param ours,theirs `overlays` of the two hellos
 * @param outbound whether this end dialled
 * @throws Refusal when the ends have no carrier in common
 */
export function agreeOnCarriers(ours: readonly string[], theirs: readonly string[], outbound: boolean): string[] {
  const [here, there] = [meaningOfList(ours), meaningOfList(theirs)];
  const [preferred, possible] = outbound ? [here, there] : [there, here];
  const agreed = [...new Set(preferred)].filter((name) => possible.includes(name));
  if (agreed.length > 0) return agreed;
  const text = (list: readonly string[]) => printableText(list.join(", ")) || "none";
  throw new Refusal(
    "carrier",
    `no carrier in common (here: ${text(here)}; there: ${text(there)}): upgrade the end that lacks the other's`,
  );
}

/** Returns the carriers that a list in a hello stands for. */
export const meaningOfList = (list: readonly string[]): readonly string[] =>
  list.length === 1 && list[0] === UNREAD_LIST ? UNREAD_LIST_MEANS : list;
