import { type CpaceExchange, keyOfExchange } from "#mesh/handshake/cpace.js";
import { MAX_HANDSHAKE_BYTES, malformedHandshake, typedMessage } from "#mesh/handshake/format.js";
import type { Hello } from "#mesh/handshake/hello.js";
import { type KeyPair, keyPair, NoiseHandshake, type NoiseResult } from "#mesh/handshake/noise.js";
import type { NetworkSecret } from "#mesh/secrets.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Random } from "#src/random.js";

/**
 * The handshake of a connection: CPace where there is a password, then Noise. No I/O: the caller passes received bytes, and applies
 * the effects. `mesh/handshake/initiator.ts` and `mesh/handshake/responder.ts` have the two ends.
 *
 *   initiator                                            responder
 *     ── INIT (versions, generation, Ya) ──────────────▶
 *     ◀─ COOKIE ────────────────────────────────────────   only under load; the initiator repeats INIT with the cookie
 *     ◀─ SHARE (Yb) ────────────────────────────────────   both ends now compute ISK, which is the psk of Noise
 *     ── PROOF (psk, e) ───────────────────────────────▶   the responder knows whether the initiator has the password
 *     ◀─ RESPONSE (e, ee, s, es) ───────────────────────   the initiator knows whether the responder has it
 *     ── FINISH (s, se, hello) ────────────────────────▶
 *     ◀─ DATA (hello) ──────────────────────────────────
 *
 * Without a password INIT carries Noise's `e` in place of Ya, and RESPONSE follows: there is neither SHARE nor PROOF.
 *
 * An end that is not content closes the connection, and sends no reason: it is in its own log and status. The static key, the
 * name and all further details of an end leave only after the other end has proven the password.
 */
export interface Handshake {
  readonly state: InitiatorState | ResponderState;
  /** Begins. @returns the first message of an initiator */
  start(): HandshakeEffect[];
  /** Handles a received message. Never throws: errors are effects, and final. */
  receive(bytes: Uint8Array): HandshakeEffect[];
  /** Returns the error for a connection that the other end has closed, in words for the operator of this end. */
  explain(reason: string): WeaveError;
  /** Zeroes the secrets of a handshake that is abandoned. */
  wipe(): void;
}

export type InitiatorState = "new" | "awaiting-share" | "awaiting-response" | "awaiting-hello" | "open" | "closed";
export type ResponderState = "awaiting-init" | "awaiting-proof" | "awaiting-finish" | "open" | "closed";

/** An action for the caller: send bytes, or handle the end of the handshake. */
export type HandshakeEffect =
  | { readonly do: "send"; readonly bytes: Uint8Array }
  | {
      readonly do: "opened";
      readonly remote: Hello;
      readonly transport: NoiseResult;
      /** The secret that both ends have proven; undefined: none. */
      readonly secret: NetworkSecret | undefined;
    }
  | { readonly do: "failed"; readonly error: WeaveError };

/** What both ends of a handshake need. */
export interface HandshakeOptions {
  readonly staticKey: KeyPair;
  /** Makes the secrets of this handshake alone. */
  readonly random: Pick<Random, "bytes">;
  readonly hello: Hello;
}

const NOTHING: Uint8Array = new Uint8Array(0);

/** Label of the key that CPace gives to Noise. */
const PSK_LABEL = "weave mesh 2 psk";

/**
 * Finishes the exchange of the password, derives the pre-shared key of Noise, and zeroes what it is made of.
 *
 * @param theirs the share of the other end
 * @param ends.head the clear part of INIT
 * @throws WEAVE_HANDSHAKE
 */
export function exchangePsk(
  exchange: CpaceExchange,
  theirs: Uint8Array,
  { initiator, head }: { readonly initiator: boolean; readonly head: Uint8Array },
): Uint8Array {
  const [initiatorShare, responderShare] = initiator ? [exchange.share, theirs] : [theirs, exchange.share];
  const transcript = { initiatorShare, initiatorData: head, responderShare, responderData: NOTHING };
  const shared = exchange.finish(theirs, transcript);
  const psk = keyOfExchange(shared, PSK_LABEL);
  shared.fill(0);
  return psk;
}

/** Begins Noise with a new ephemeral key. @param psk it selects XXpsk0; the handshake zeroes it */
export function beginNoise(
  { staticKey, random }: HandshakeOptions,
  { initiator, prologue, psk }: { initiator: boolean; prologue: Uint8Array; psk: Uint8Array | undefined },
): NoiseHandshake {
  const secret = random.bytes(32);
  return new NoiseHandshake({
    initiator,
    prologue,
    staticKey,
    ephemeralKey: keyPair(secret),
    ...(psk === undefined ? {} : { psk }),
  });
}

/** What both ends of a handshake are and do alike: the secrets in progress, and that each error closes the end. */
export abstract class HandshakeEnd<State extends InitiatorState | ResponderState> implements Handshake {
  /** The exchange of the password; undefined before it, and without a password. */
  protected exchange: CpaceExchange | undefined;
  protected noise: NoiseHandshake | undefined;
  #state: State | "closed";

  protected constructor(first: State) {
    this.#state = first;
  }

  get state(): State | "closed" {
    return this.#state;
  }

  abstract start(): HandshakeEffect[];
  abstract explain(reason: string): WeaveError;
  /** Handles a message of a type. @throws WeaveError for one that is wrong, or not expected now */
  protected abstract step(type: number, body: Uint8Array): HandshakeEffect[];

  protected enter(state: State): void {
    this.#state = state;
  }

  receive(bytes: Uint8Array): HandshakeEffect[] {
    if (this.#state === "closed" || this.#state === "open") return [];
    try {
      if (bytes.length === 0) throw malformedHandshake(": an empty message");
      if (bytes.length > MAX_HANDSHAKE_BYTES)
        throw new WeaveError("WEAVE_MESSAGE_TOO_LARGE", `a handshake message of ${bytes.length} bytes`);
      return this.step(bytes[0], bytes.subarray(1));
    } catch (error) {
      this.wipe();
      const known = error instanceof WeaveError;
      return [
        { do: "failed", error: known ? error : new WeaveError("WEAVE_HANDSHAKE", errorText(error), { cause: error }) },
      ];
    }
  }

  wipe(): void {
    this.exchange?.wipe();
    this.noise?.wipe();
    this.#state = "closed";
  }
}

export const send = (type: number, body: Uint8Array): HandshakeEffect => ({
  do: "send",
  bytes: typedMessage(type, body),
});
