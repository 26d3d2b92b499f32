import type { PeerName } from "#mesh/peer.js";
import type { RingFrame } from "#src/linux/native/packet-ring.js";
import { type MacText, macText } from "#src/mac.js";
import type { FrameDirection } from "#src/pcapng/format.js";

/** What is captured: one or several interfaces of this host. */
export interface CapturePlan {
  /** In words: `the peer h2`. */
  readonly title: string;
  /** The interfaces that exist now: those of the kernel's path come and go. */
  devices(): readonly CaptureDevice[];
  /** Whether heartbeats of the kernel's path are left out. */
  readonly withoutHeartbeats: boolean;
}

/** An interface, as a capture sees it. */
export interface CaptureDevice {
  readonly name: string;
  /** For the reader of the file: where on the way its frames are. */
  readonly description: string;
  /** Direction of the frames that this host sends through it: a container receives what the host sends through its end of the pair. */
  readonly sent: FrameDirection;
  readonly promiscuous: boolean;
  /** Looks at a frame of this device. @returns its comment; undefined: the frame is not captured */
  look(frame: RingFrame): string | undefined;
}

/** The place of a MAC as far as this host knows: a peer; undefined for none. */
export type PlaceOf = (mac: MacText) => PeerName | undefined;

/** How a frame that passes between this host and others is related to them. */
export interface OverlayFrame {
  /** The other host; undefined: it is not known. */
  readonly peer: PeerName | undefined;
  /** Whether it is for more than one host, or for a MAC that no host has announced: it goes to all. */
  readonly flooded: boolean;
}

/** Finds the host that a frame goes to, or comes from. */
export function overlayFrame(
  { bytes, outgoing }: Pick<RingFrame, "bytes" | "outgoing">,
  placeOf: PlaceOf,
): OverlayFrame {
  if (bytes.length < 12) return { peer: undefined, flooded: false };
  if (!outgoing) return { peer: placeOf(macText(bytes, 6)), flooded: false };
  const peer = (bytes[0] & 1) === 1 ? undefined : placeOf(macText(bytes, 0));
  return { peer, flooded: peer === undefined };
}
