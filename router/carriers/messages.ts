import * as z from "zod/mini";
import type { CarrierKind, CarrierMessage } from "#router/carriers/carrier.js";
import { type RekeyMessage, rekeyShapes } from "#router/carriers/keys.js";
import { decode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

const openShape = z.object({
  kind: z.literal("open"),
  session: z.number().check(z.int(), z.gte(1), z.lte(0xffffffff)),
});
const sessionShapes = [openShape, ...rekeyShapes] as const;
const SESSION_KINDS: readonly string[] = ["open", "rekey-offer", "rekey-answer", "rekey-done"];

/** A message of the session itself: the sender's number for the session, or a key exchange. */
export type SessionMessage = { readonly kind: "open"; readonly session: number } | RekeyMessage;

export type Decoded =
  | { readonly carrier: undefined; readonly message: SessionMessage }
  | { readonly carrier: string; readonly message: CarrierMessage };

/** Validates the messages that the overlays of two ends exchange: those of the session, and those of each carrier. */
export class CarrierMessages {
  readonly #shape;
  /** Carrier names by kind of message. */
  readonly #carriers = new Map<string, string>();

  /** @throws WEAVE_BOUNDS when two carriers have one name, or messages of one kind */
  constructor(carriers: readonly CarrierKind[]) {
    if (new Set(carriers.map(({ name }) => name)).size !== carriers.length)
      throw new WeaveError("WEAVE_BOUNDS", "two carriers have one name");
    for (const { name, messages } of carriers)
      for (const kind of Object.keys(messages)) {
        if (SESSION_KINDS.includes(kind) || this.#carriers.has(kind))
          throw new WeaveError("WEAVE_BOUNDS", `two carriers have messages of the kind "${kind}"`);
        this.#carriers.set(kind, name);
      }
    this.#shape = z.discriminatedUnion("kind", [
      ...sessionShapes,
      ...carriers.flatMap(({ messages }) => Object.values(messages)),
    ]);
  }

  /**
   * Validates a message of the other end, and finds its carrier; undefined: a message of the session itself.
   *
   * @throws WEAVE_MESSAGE_MALFORMED
   */
  decode(bytes: Uint8Array): Decoded {
    const message = decode(this.#shape, bytes, "an overlay message") as CarrierMessage;
    return { carrier: this.#carriers.get(message.kind), message } as Decoded;
  }
}
