import type { Located } from "#router/probes/locator.js";
import { type RoundTrips, summaryOf } from "#router/probes/round-trips.js";
import type { PeerNicknames } from "#router/probes/routes.js";

/** Characters of a container's id that are shown, as in `weave ps`. */
const SHORT_ID = 12;

/** A peer's nickname; its name where it has none. */
export const nicknameIn = (nicknames: PeerNicknames, peer: string): string => nicknames[peer] || peer;

/** A time for people: two digits below 10 ms, tenths above. */
export const msText = (ms: number): string => `${ms < 10 ? ms.toFixed(2) : ms.toFixed(1)} ms`;

/** The figures of a series: "10 probes, 0 % lost; round trip 0.41 ms (0.38 to 0.80)". */
export function tripsText(trips: RoundTrips): string {
  const { sent, answered, lossPercent, min, median, max } = summaryOf(trips);
  const probes = `${sent} ${sent === 1 ? "probe" : "probes"}`;
  if (answered === 0) return `${probes}, none answered`;
  return `${probes}, ${lossPercent} % lost; round trip ${msText(median!)} (${msText(min!)} to ${msText(max!)})`;
}

/** What a place is called: as typed, or the name or id that its host has for it. */
export function placeName({ text, kind, endpoint }: Located): string {
  if (kind === "peer" || endpoint === null) return text;
  const { id, name } = endpoint;
  const own = name.split(".")[0] || (/^[0-9a-f]{64}$/.test(id) ? id.slice(0, SHORT_ID) : id);
  return own === "" ? text : own;
}

/** Carrier, encryption and MTU of a leg: "sleeve, encrypted, MTU 1376". */
export function carrierText(leg: {
  readonly carrier: string;
  readonly encrypted: boolean;
  readonly mtu: number;
}): string {
  return [
    leg.carrier || "no carrier",
    leg.encrypted ? "encrypted" : "in clear",
    ...(leg.mtu > 0 ? [`MTU ${leg.mtu}`] : []),
  ].join(", ");
}

/** A name in a command that people copy into a shell of root. Another host has chosen it: what is more than one plain word there is left out. */
export const commandWord = (name: string, otherwise = "NAME"): string =>
  /^\w[\w.:/@+-]*$/.test(name) ? name : otherwise;
