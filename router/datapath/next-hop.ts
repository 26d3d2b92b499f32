/**
 * How a frame thread sends the records of a session, as small numbers: they are compared for every frame. The path selector
 * (router/carriers/selector.ts) decides; a carrier names its own in {@link NextHop}.
 */

/** The thread sends the datagrams itself. */
export const NEXT_HOP_DATAGRAMS = 0;
/** The thread hands sealed records to the event loop, where the carrier in use sends them. */
export const NEXT_HOP_EVENT_LOOP = 1;

export type NextHop =
  | { readonly kind: typeof NEXT_HOP_DATAGRAMS }
  | {
      readonly kind: typeof NEXT_HOP_EVENT_LOOP;
      /** The largest record that the carrier takes, sealed. */
      readonly recordBytes: number;
    };
