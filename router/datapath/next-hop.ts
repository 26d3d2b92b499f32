/**
 * How a frame thread sends the records of a session. The values are small numbers, because they are compared for every frame.
 * The path selector (router/carriers/selector.ts) selects a carrier, and the carrier names its next hop.
 */

/** The thread sends the datagrams itself. */
export const NEXT_HOP_DATAGRAMS = 0;
/** The thread hands sealed records to the event loop, where the carrier in use sends them. */
export const NEXT_HOP_EVENT_LOOP = 1;

export type NextHop =
  | { readonly kind: typeof NEXT_HOP_DATAGRAMS }
  | {
      readonly kind: typeof NEXT_HOP_EVENT_LOOP;
      /** Maximum bytes of a sealed record that the carrier accepts. */
      readonly recordBytes: number;
    };
