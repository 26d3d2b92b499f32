import type { DocumentShape } from "#cli/json/shape.js";

/** The documents of `weave capture`: a line for each frame, and one at the end; with `-w FILE` that one alone. */
export const CAPTURE_SHAPES = {
  capture: {
    commands: ["capture"],
    fields: {
      File: ["text?", "path of the file; null: none was written"],
      Bytes: ["number", "its size"],
      Frames: ["number", "number of captured frames"],
      Dropped: ["number", "frames that were lost, as the output took too long"],
      End: ["text", "why the capture ended"],
    },
  },
  "capture-frame": {
    commands: ["capture"],
    fields: {
      Time: ["time", "when it passed, with microseconds"],
      Direction: [
        "text",
        "`out` to the peer, from the container or from the host; `in` from the peer, to the container or to the host",
      ],
      From: ["text", "MAC of its sender"],
      To: ["text", "MAC of its destination"],
      Protocol: ["text", "`TCP`, `UDP`, `ICMP`, `ARP` and so on"],
      Source: ["text", "address of its sender, with the port where there is one; empty: none"],
      Target: ["text", "address of its destination, likewise"],
      Length: ["number", "bytes of the whole frame"],
      "Notes[]": ["text", "what is special: flags of TCP, a cut, the other host"],
    },
  },
} as const satisfies Readonly<Record<string, DocumentShape>>;
