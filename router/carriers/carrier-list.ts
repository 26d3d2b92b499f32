import type { CarrierKind } from "#router/carriers/carrier.js";
import { sleeveCarrier } from "#router/carriers/sleeve/sleeve.js";
import { streamCarrier } from "#router/carriers/stream/stream.js";

/** The carriers of records, best first. With that of the kernel before them they are the list that this end offers to its peers (mesh/overlay.ts). */
export const CARRIERS: readonly CarrierKind[] = [sleeveCarrier, streamCarrier];
