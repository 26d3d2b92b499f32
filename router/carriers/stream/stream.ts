import * as z from "zod/mini";
import type { Carrier, CarrierDeps, CarrierKind, CarrierLink, CarrierNextHop } from "#router/carriers/carrier.js";
import { NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import { MAX_RECORD } from "#router/datapath/record.js";

/** Maximum bytes of a sealed record: small packets need not wait long behind large records. */
const RECORD_BYTES = 16_384;
/** The MTU of the carrier: TCP carries every IP packet. */
const MAX_IP_PACKET = 65_535;

interface RecordMessage {
  readonly kind: "record";
  /** One byte with lane and epoch, then the sealed record. */
  readonly record: Uint8Array;
}

const recordShape = z.object({
  kind: z.literal("record"),
  record: z
    .instanceof(Uint8Array)
    .check(z.refine((bytes) => (bytes as Uint8Array).length > 1 && (bytes as Uint8Array).length <= 1 + MAX_RECORD)),
});

/**
 * Sends sealed records over the connection itself (TCP), where UDP does not pass. The carrier is usable while the connection
 * is open. It provides no proof that the other end is alive: the connection is probed instead.
 */
class Stream implements Carrier {
  readonly name = "stream";
  readonly state;
  readonly doubtful = true;
  readonly mtu = MAX_IP_PACKET;
  readonly nextHop: CarrierNextHop;
  readonly #session: number;
  readonly #carried: () => void;
  readonly #datapath: CarrierDeps["datapath"];

  constructor({ session, send, carried }: CarrierLink, { datapath, clock }: CarrierDeps) {
    this.#session = session;
    this.#carried = carried;
    this.#datapath = datapath;
    this.state = { condition: "usable", reason: "the connection is open", since: clock.now() } as const;
    this.nextHop = {
      kind: NEXT_HOP_EVENT_LOOP,
      recordBytes: RECORD_BYTES,
      send: (record, sent) => send({ kind: "record", record } as RecordMessage, sent),
    };
  }

  receive({ record }: RecordMessage): void {
    this.#carried();
    this.#datapath.send({ do: "record", session: this.#session, record });
  }

  start(): void {}
  onEvent(): void {}
  onLinksChanged(): void {}
  selected(): void {}
  stop(): void {}
  attributes = () => ({});
  diagnostics = () => ({});
}

export const streamCarrier: CarrierKind = {
  name: "stream",
  messages: { record: recordShape },
  open: (link, deps) => new Stream(link, deps),
};
