import * as z from "zod/mini";
import { COOKIE_BYTES, type CookieJar } from "#mesh/cookie.js";
import { MAX_COUNT } from "#mesh/counter.js";
import { type HandshakeResult, HandshakeState, type KeyPair, NOISE_KEY_BYTES, NOISE_TAG_BYTES } from "#mesh/noise.js";
import { identityShape, type PeerIdentity } from "#mesh/peer.js";
import { Refusal, type RefusalReason } from "#mesh/refusals.js";
import { isSignedBy, SIGNATURE_BYTES } from "#mesh/signing.js";
import { decode, encode } from "#src/codec.js";
import { errorText, WeaveError } from "#src/errors.js";
import { VERSION as PRODUCT_VERSION } from "#src/version.js";

/**
 * The states of a {@link Channel}:
 *
 *   initiator                                responder
 *   connecting   ── INIT (e) ──────────────▶ listening
 *                ◀── COOKIE ────────────────              only under load; the initiator repeats INIT with the cookie
 *                ◀── RESPONSE (e, ee, s, es)
 *                ── FINISH (s, se, [psk], hello) ─▶ awaiting-finish
 *   awaiting-hello ◀── DATA (hello) ─────── open
 *   open
 *
 * The identities (hello) are encrypted. The initiator sends its hello after it has received the responder's key; the responder
 * sends its hello after the initiator has proven that it has the password.
 */
export type ChannelState = "listening" | "connecting" | "awaiting-finish" | "awaiting-hello" | "open" | "closed";

const INIT = 1;
const RESPONSE = 2;
const FINISH = 3;
const COOKIE = 4;
const REFUSED = 5;
const DATA = 0x10;
/** A DATA message whose content continues in the next one. */
const DATA_MORE = 0x11;

export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;

const FLAG_PASSWORD = 1;
/** Largest handshake message: enough for a hello with the longest nickname. */
const MAX_HANDSHAKE_BYTES = 2_048;
/** Largest message of Noise, tag included (section 3 of its specification). */
const MAX_NOISE_BYTES = 65_535;
/** Bytes of a message that one DATA message contains. */
const CHUNK_BYTES = 64_000;
/** Largest message; the same as in Weave Net. */
export const MAX_MESSAGE_BYTES = 10 << 20;
/** Largest WebSocket message. */
export const MAX_FRAME_BYTES = MAX_NOISE_BYTES + 1;

const NOTHING: Uint8Array = new Uint8Array(0);

/** Reasons of a refused handshake. The wire carries the index as a byte; users of both ends see the same text. */
const REFUSALS: readonly (readonly [RefusalReason, string])[] = [
  ["handshake", "the handshake is malformed"],
  ["password", "one end has a password and the other has none: give all peers the same --password, or none"],
  ["password", "the passwords differ: give all peers the same --password"],
  ["protocol", "the protocol versions have nothing in common: upgrade the older end"],
];
/** Bytes of a REFUSED for its version: the reason, and the responder's versions. Earlier builds send the reason alone. */
const REFUSED_VERSION_BYTES = 3;
const MALFORMED = 0;
const PASSWORD_MISSING = 1;
const PASSWORD_WRONG = 2;
const VERSION = 3;

/** The description of itself that each end sends. */
export interface Hello extends PeerIdentity {
  /** The identity's signature of {@link certifiedBytes}: the X25519 key belongs to the identity. */
  readonly certificate: Uint8Array;
  /** Random for each connection: it decides which of two connections between the same peers stays. */
  readonly connectionId: number;
  /** Time of the sender's clock, in milliseconds since the Unix epoch. */
  readonly clock: number;
  /** Whether this end allows unencrypted frames; frames are unencrypted if both ends do. */
  readonly clear: boolean;
  /** Carriers of this end, best first: see `agreeOnCarriers`. */
  readonly overlays: readonly string[];
  /** Version of weave; for people alone. Earlier builds send none. */
  readonly version?: string | undefined;
}

const helloShape = z.object({
  ...identityShape.shape,
  certificate: z.instanceof(Uint8Array).check(z.refine((bytes) => (bytes as Uint8Array).length === SIGNATURE_BYTES)),
  connectionId: z.number().check(z.int(), z.gte(0), z.lte(0xffffffff)),
  clock: z.number().check(z.int(), z.gte(0), z.lte(MAX_COUNT)),
  clear: z.boolean(),
  overlays: z.array(z.string().check(z.maxLength(16))).check(z.maxLength(8)),
  // What is wrong with it must not keep two peers apart.
  version: z.catch(z.optional(z.string().check(z.regex(/^[\w.+-]{1,32}$/))), undefined),
});

/** Returns what a certificate signs: that a peer of this name has this X25519 key. */
export function certifiedBytes({ name, key }: Pick<PeerIdentity, "name" | "key">): Uint8Array {
  return Buffer.from(`${name} ${key}`);
}

/** An action for the caller: send bytes, or handle an event. */
export type ChannelEffect =
  | { readonly do: "send"; readonly bytes: Uint8Array }
  | { readonly do: "opened"; readonly remote: Hello; readonly transport: HandshakeResult }
  | { readonly do: "message"; readonly bytes: Uint8Array }
  | { readonly do: "failed"; readonly error: WeaveError };

export interface ChannelOptions {
  readonly role: "initiator" | "responder";
  readonly staticKey: KeyPair;
  /** Makes the key pair of this handshake. It is called once; a responder calls it after it has checked the cookie. */
  readonly makeEphemeralKey: () => KeyPair;
  /** 32 bytes derived from the password; undefined without one. */
  readonly psk?: Uint8Array;
  readonly hello: Hello;
  /** Makes a responder require a cookie. `address` is the remote IP address. */
  readonly cookies?: { readonly jar: CookieJar; readonly address: string };
}

/**
 * A secured channel over a message-oriented connection (WebSocket): a Noise handshake, then encrypted messages. No I/O: the
 * caller passes received bytes, and applies the effects. Any error closes the channel.
 */
export class Channel {
  readonly #options: ChannelOptions;
  /** A responder makes it when it receives the initiator's first message, whose head is part of the prologue. */
  #noise: HandshakeState | undefined;
  #state: ChannelState;
  #transport: HandshakeResult | undefined;
  #partial: Uint8Array[] = [];
  #partialBytes = 0;
  /** This end's first message, which is sent again with a cookie. */
  #init: Uint8Array = NOTHING;
  #cookieSent = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#state = options.role === "initiator" ? "connecting" : "listening";
  }

  get state(): ChannelState {
    return this.#state;
  }

  /** Returns the initiator's first message. */
  start(): ChannelEffect[] {
    this.#noise = this.#begin(this.#head());
    this.#init = this.#noise.write(NOTHING);
    return [this.#sendInit(NOTHING)];
  }

  /** Handles received bytes. Never throws: errors are effects. */
  receive(bytes: Uint8Array): ChannelEffect[] {
    if (this.#state === "closed") return [];
    try {
      if (this.#state === "open") return this.#data(bytes);
      if (bytes.length > MAX_HANDSHAKE_BYTES)
        throw new WeaveError("WEAVE_MESSAGE_TOO_LARGE", `a handshake message of ${bytes.length} bytes`);
      return this.#handshake(bytes);
    } catch (error) {
      return this.#fail(error);
    }
  }

  /** Encrypts a message, a long one as several DATA messages. @throws WEAVE_MESSAGE_TOO_LARGE */
  send(message: Uint8Array): ChannelEffect[] {
    if (this.#state !== "open") return [];
    if (message.length > MAX_MESSAGE_BYTES) {
      throw new WeaveError(
        "WEAVE_MESSAGE_TOO_LARGE",
        `a message of ${message.length} bytes; the limit is ${MAX_MESSAGE_BYTES}`,
      );
    }
    const effects: ChannelEffect[] = [];
    let at = 0;
    do {
      const chunk = message.subarray(at, at + CHUNK_BYTES);
      at += CHUNK_BYTES;
      effects.push(send(at < message.length ? DATA_MORE : DATA, this.#transport!.send.encrypt(NOTHING, chunk)));
    } while (at < message.length);
    return effects;
  }

  #handshake(bytes: Uint8Array): ChannelEffect[] {
    const body = bytes.subarray(1);
    const step = `${this.#state} ${bytes[0]}`;
    switch (step) {
      case `listening ${INIT}`:
        return this.#onInit(body);
      case `connecting ${COOKIE}`:
        if (this.#cookieSent || body.length !== COOKIE_BYTES) throw malformed();
        this.#cookieSent = true;
        return [this.#sendInit(body)];
      case `connecting ${RESPONSE}`: {
        this.#noise!.read(body);
        const finish = this.#noise!.write(encode(this.#options.hello));
        this.#transport = this.#noise!.finish();
        this.#state = "awaiting-hello";
        return [send(FINISH, finish)];
      }
      case `awaiting-finish ${FINISH}`:
        return this.#onFinish(body);
      case `awaiting-hello ${DATA}`: {
        const remote = this.#identify(this.#transport!.receive.decrypt(NOTHING, body));
        this.#state = "open";
        return [{ do: "opened", remote, transport: this.#transport! }];
      }
      case `connecting ${REFUSED}`:
      case `awaiting-hello ${REFUSED}`:
        throw body[0] === VERSION && body.length === REFUSED_VERSION_BYTES
          ? versionRefusal(body[1], body[2])
          : refusal(body[0]);
      default:
        throw malformed(`: message ${bytes[0]} while ${this.#state}`);
    }
  }

  /** Returns the clear part of the first message. As part of the prologue it is authenticated by the handshake. */
  #head(): Uint8Array {
    return Uint8Array.of(PROTOCOL_MIN, PROTOCOL_MAX, this.#options.psk ? FLAG_PASSWORD : 0);
  }

  #begin(head: Uint8Array): HandshakeState {
    const { role, staticKey, makeEphemeralKey, psk } = this.#options;
    return new HandshakeState({
      initiator: role === "initiator",
      prologue: Buffer.concat([Buffer.from("weave mesh"), head]),
      staticKey,
      ephemeralKey: makeEphemeralKey(),
      ...(psk ? { psk } : {}),
    });
  }

  #sendInit(cookie: Uint8Array): ChannelEffect {
    return send(INIT, Buffer.concat([this.#head(), Uint8Array.of(cookie.length), cookie, this.#init]));
  }

  #onInit(body: Uint8Array): ChannelEffect[] {
    const [min, max, flags, cookieBytes] = body;
    if (body.length < 4) throw malformed();
    if (min > PROTOCOL_MAX || max < PROTOCOL_MIN) {
      const notice = Uint8Array.of(VERSION, PROTOCOL_MIN, PROTOCOL_MAX);
      return this.#refuse(notice, versionRefusal(min, max));
    }
    if (((flags & FLAG_PASSWORD) !== 0) !== (this.#options.psk !== undefined))
      return this.#refuse(Uint8Array.of(PASSWORD_MISSING), refusal(PASSWORD_MISSING));
    // With a pre-shared key the empty payload of the first message has a tag.
    const initBytes = NOISE_KEY_BYTES + (this.#options.psk ? NOISE_TAG_BYTES : 0);
    if (cookieBytes > COOKIE_BYTES || body.length !== 4 + cookieBytes + initBytes) throw malformed();
    const init = body.subarray(4 + cookieBytes);
    const { cookies } = this.#options;
    if (cookies !== undefined) {
      const binding = Buffer.concat([Buffer.from(cookies.address), init]);
      if (cookieBytes === 0) return [send(COOKIE, cookies.jar.make(binding))];
      if (!cookies.jar.check(body.subarray(4, 4 + cookieBytes), binding))
        throw new WeaveError("WEAVE_HANDSHAKE", "the cookie is wrong");
    }
    this.#noise = this.#begin(body.subarray(0, 3));
    this.#noise.read(init);
    const response = this.#noise.write(NOTHING);
    this.#state = "awaiting-finish";
    return [send(RESPONSE, response)];
  }

  #onFinish(body: Uint8Array): ChannelEffect[] {
    let payload: Uint8Array;
    try {
      payload = this.#noise!.read(body);
    } catch (error) {
      // This message mixes the password into the key: an error means that the passwords differ.
      if (this.#options.psk !== undefined) return this.#refuse(Uint8Array.of(PASSWORD_WRONG), refusal(PASSWORD_WRONG));
      throw error;
    }
    this.#transport = this.#noise!.finish();
    const remote = this.#identify(payload);
    this.#state = "open";
    return [...this.send(encode(this.#options.hello)), { do: "opened", remote, transport: this.#transport }];
  }

  /** Decodes the hello of the other end, and checks that it contains the key that the handshake has authenticated. */
  #identify(payload: Uint8Array): Hello {
    const hello = decode(helloShape, payload, "the peer's hello");
    if (hello.key !== Buffer.from(this.#transport!.remoteStatic).toString("hex")) {
      throw new WeaveError("WEAVE_HANDSHAKE", `${hello.name}(${hello.nickname}) names a key that is not its own`);
    }
    if (!isSignedBy(hello.identity, "static-key", certifiedBytes(hello), hello.certificate))
      throw new WeaveError("WEAVE_HANDSHAKE", `${hello.name}(${hello.nickname}) names an identity that is not its own`);
    return hello;
  }

  #data(bytes: Uint8Array): ChannelEffect[] {
    const type = bytes[0];
    if (type !== DATA && type !== DATA_MORE)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `message of unknown type ${type}`);
    const chunk = this.#transport!.receive.decrypt(NOTHING, bytes.subarray(1));
    this.#partialBytes += chunk.length;
    if (this.#partialBytes > MAX_MESSAGE_BYTES)
      throw new WeaveError("WEAVE_MESSAGE_TOO_LARGE", `a message of more than ${MAX_MESSAGE_BYTES} bytes`);
    this.#partial.push(chunk);
    if (type === DATA_MORE) return [];
    const message = this.#partial.length === 1 ? chunk : Buffer.concat(this.#partial);
    this.#partial = [];
    this.#partialBytes = 0;
    return [{ do: "message", bytes: message }];
  }

  #refuse(notice: Uint8Array, error: Refusal): ChannelEffect[] {
    this.#state = "closed";
    return [send(REFUSED, notice), { do: "failed", error }];
  }

  #fail(error: unknown): ChannelEffect[] {
    const notice =
      this.#state === "listening" || this.#state === "awaiting-finish" ? [send(REFUSED, Uint8Array.of(MALFORMED))] : [];
    this.#state = "closed";
    return [
      ...notice,
      {
        do: "failed",
        error:
          error instanceof WeaveError ? error : new WeaveError("WEAVE_HANDSHAKE", errorText(error), { cause: error }),
      },
    ];
  }
}

function refusal(index: number): Refusal {
  const [reason, text] = REFUSALS[index] ?? REFUSALS[MALFORMED];
  return new Refusal(reason, text);
}

/** The refusal of an end without a common protocol version, in words for the host that shows it. @param min,max versions of the other end */
function versionRefusal(min: number, max: number): Refusal {
  const range = (from: number, to: number) => (from === to ? `${from}` : `${from} to ${to}`);
  const older = max < PROTOCOL_MIN ? "the other host" : "this host";
  return new Refusal(
    "protocol",
    `the protocol versions have nothing in common (here: ${range(PROTOCOL_MIN, PROTOCOL_MAX)}, by weave ${PRODUCT_VERSION}; there: ${range(min, max)}): upgrade ${older}`,
  );
}

const malformed = (how = ""): WeaveError => new WeaveError("WEAVE_HANDSHAKE", REFUSALS[MALFORMED][1] + how);

function send(type: number, body: Uint8Array): ChannelEffect {
  const bytes = new Uint8Array(1 + body.length);
  bytes[0] = type;
  bytes.set(body, 1);
  return { do: "send", bytes };
}
