import { OFFLOADS, type OffloadName, type Offloads } from "#router/datapath/protocol.js";
import { WeaveError } from "#src/errors.js";
import { opensslAtHand } from "#src/host/native/aead.js";

const FIELDS: Readonly<Record<OffloadName, keyof Offloads>> = {
  "vnet-header": "vnetHeader",
  tso: "tso",
  uso: "uso",
  "udp-segment": "segment",
  "udp-gro": "gro",
  openssl: "openssl",
};

/** All that may be tried, less what is named in `off`. */
export function allowedOffloads(off: readonly OffloadName[]): Offloads {
  const allowed = (name: OffloadName) => !off.includes(name);
  return {
    vnetHeader: allowed("vnet-header"),
    tso: allowed("tso"),
    uso: allowed("uso"),
    segment: allowed("udp-segment"),
    gro: allowed("udp-gro"),
    openssl: allowed("openssl") && opensslAtHand,
  };
}

/** Names of those in use, and of the others. */
export function offloadNames(offloads: Offloads): { on: OffloadName[]; off: OffloadName[] } {
  return {
    on: OFFLOADS.filter((name) => offloads[FIELDS[name]]),
    off: OFFLOADS.filter((name) => !offloads[FIELDS[name]]),
  };
}

/** Reads a list of names, with commas between. @throws WEAVE_FLAG_INVALID */
export function parseOffloads(text: string): OffloadName[] {
  const names = text.split(",").filter((name) => name !== "");
  const unknown = names.find((name) => !(OFFLOADS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new WeaveError("WEAVE_FLAG_INVALID", `there is no offload ${JSON.stringify(unknown)}`, {
      next: `They are ${OFFLOADS.join(", ")}.`,
    });
  }
  return names as OffloadName[];
}
