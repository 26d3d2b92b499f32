import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import {
  fieldNames,
  MAX_RECORDS,
  type OriginState,
  type RecordFormat,
  type TextFields,
  type Versioned,
} from "#mesh/replica/record-format.js";
import type { OriginSummary } from "#mesh/replica/record-set.js";
import { decode, encode } from "#src/codec.js";

/** A message between replicas of one set. */
export type ReplicaMessage<F> =
  /** Hash of all records, for new neighbours and for repair. */
  | { readonly kind: "digest"; readonly digest: string }
  /** Summary of each origin: the answer to a different digest. */
  | { readonly kind: "summary"; readonly origins: readonly OriginSummary[] }
  /** A request for the records of origins. */
  | { readonly kind: "want"; readonly origins: readonly PeerName[] }
  /** All records of origins, or, with horizon 0, changes of them. */
  | { readonly kind: "states"; readonly states: readonly OriginState<F>[] };

/** Encodes, decodes and validates the messages of a set. */
export class ReplicaCodec<F extends TextFields<F>> {
  readonly #names: readonly (keyof F & string)[];
  readonly #shape: ZodMiniType<WireMessage>;
  readonly #what: string;

  constructor(format: RecordFormat<F>) {
    this.#names = fieldNames(format);
    this.#shape = messageShape(format.fields as Readonly<Record<string, ZodMiniType<string>>>);
    this.#what = `a gossip message of ${format.name}`;
  }

  encode(message: ReplicaMessage<F>): Uint8Array {
    if (message.kind !== "states") return encode(message);
    const states = message.states.map(({ origin, incarnation, horizon, records }) => ({
      origin,
      incarnation,
      horizon,
      records: records.map((record) => this.#recordToWire(record)),
    }));
    return encode({ kind: "states", states });
  }

  /** Decodes and validates a message. @throws WEAVE_MESSAGE_MALFORMED */
  decode(bytes: Uint8Array): ReplicaMessage<F> {
    const message = decode(this.#shape, bytes, this.#what);
    if (message.kind !== "states") return message;
    return {
      kind: "states",
      states: message.states.map((state) => ({
        ...state,
        records: state.records.map((record) => ({ ...record, origin: state.origin }) as unknown as Versioned<F>),
      })),
    };
  }

  /** Converts a record for the wire. Its origin is left out: a state contains it once. */
  #recordToWire(record: Versioned<F>): WireRecord {
    const wire: Record<string, string | number> = {};
    for (const name of this.#names) wire[name] = record[name];
    wire.version = record.version;
    wire.tombstone = record.tombstone;
    return wire;
  }
}

type WireRecord = Readonly<Record<string, string | number>>;

type WireMessage =
  | { kind: "digest"; digest: string }
  | { kind: "summary"; origins: [PeerName, number, string][] }
  | { kind: "want"; origins: PeerName[] }
  | { kind: "states"; states: { origin: PeerName; incarnation: number; horizon: number; records: WireRecord[] }[] };

/** Makes the shape of all messages. @param fields a shape for each field of a record */
function messageShape(fields: Readonly<Record<string, ZodMiniType<string>>>): ZodMiniType<WireMessage> {
  const digest = z.string().check(z.maxLength(32));
  const record = z.object({ ...fields, version: countShape, tombstone: countShape });
  const state = z.object({
    origin: peerNameShape,
    incarnation: countShape,
    horizon: countShape,
    records: z.array(record).check(z.maxLength(MAX_RECORDS)),
  });
  return z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("digest"), digest }),
    z.object({
      kind: z.literal("summary"),
      origins: z.array(z.tuple([peerNameShape, countShape, digest])).check(z.maxLength(MAX_PEERS)),
    }),
    z.object({ kind: z.literal("want"), origins: z.array(peerNameShape).check(z.maxLength(MAX_PEERS)) }),
    z.object({ kind: z.literal("states"), states: z.array(state).check(z.maxLength(MAX_PEERS)) }),
  ]) as unknown as ZodMiniType<WireMessage>;
}
