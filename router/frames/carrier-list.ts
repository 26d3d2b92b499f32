import type { CarrierKind } from "#router/carriers/carrier.js";
import { sleeveCarrier } from "#router/carriers/sleeve/sleeve.js";
import { streamCarrier } from "#router/carriers/stream/stream.js";

/** All carriers of this build, best first: the order that this end offers (mesh/overlay.ts). */
export const CARRIERS: readonly CarrierKind[] = [sleeveCarrier, streamCarrier];
