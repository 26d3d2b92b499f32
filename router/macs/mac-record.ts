import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import type { RecordFormat } from "#mesh/replica/record-format.js";
import { isGroupMac, type MacText, macFromNumber, macNumber } from "#src/mac.js";

/** A MAC on the bridge of the host that announces it. */
export interface MacFields {
  readonly mac: MacText;
  /**
   * Sequence number of MAC mobility (RFC 7432, section 15): a host that has a MAC which another one announces too takes the next
   * higher number. Of two announcements the one with the higher number is taken.
   */
  readonly seq: number;
}

/** Highest sequence number. A MAC that has it moves no more: nothing but a faulty peer gets so far. */
export const MAX_SEQ = 0xffffffff;
/** Estimated memory of an announced MAC in the tables of places and forwarding, in bytes. */
const PLACE_BYTES = 200;

/** Whether a host can have a MAC: it is neither zero, nor of a group. */
export const isHostMac = (mac: number): boolean => mac > 0 && mac < 2 ** 48 && !isGroupMac(mac);

/** The format of announced MACs, for the replica. A state with a MAC that no host can have is rejected as a whole. */
export const MAC_FORMAT: RecordFormat<MacFields> = {
  name: "MACs",
  shape: z.tuple([
    z.number().check(z.int(), z.refine(isHostMac)),
    z.number().check(z.int(), z.gte(0), z.lte(MAX_SEQ)),
  ]) as unknown as ZodMiniType<readonly unknown[]>,
  pack: ({ mac, seq }) => [macNumber(mac), seq],
  unpack: ([mac, seq]) => ({ mac: macFromNumber(mac as number), seq: seq as number }),
  keyOf: ({ mac }) => mac,
  heapBytes: () => PLACE_BYTES,
};
