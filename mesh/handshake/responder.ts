import type { CookieJar } from "#mesh/handshake/cookie.js";
import {
  decodeInit,
  type Init,
  MESSAGE,
  malformedHandshake,
  noCommonVersion,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  prologueOf,
} from "#mesh/handshake/format.js";
import {
  beginNoise,
  exchangePsk,
  type HandshakeEffect,
  HandshakeEnd,
  type HandshakeOptions,
  type ResponderState,
  send,
} from "#mesh/handshake/handshake.js";
import { decodeHello } from "#mesh/handshake/hello.js";
import { NOISE_KEY_BYTES, NOISE_TAG_BYTES, type NoiseHandshake } from "#mesh/handshake/noise.js";
import type { PasswordKey, PasswordKeys } from "#mesh/handshake/password-keys.js";
import { Refusal } from "#mesh/refusals.js";
import { encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

/** The refusal of an initiator that has proven another password: a guess, or a mistake of its operator. */
export class WrongPassword extends Refusal {
  constructor() {
    super("password", "the passwords differ: give all peers the same --password");
  }
}

/** Options of the end that was dialled. */
export interface ResponderOptions extends HandshakeOptions {
  readonly passwords: PasswordKeys;
  /** Makes this end require a cookie before it computes anything. `address` is the remote IP address. */
  readonly cookies?: { readonly jar: CookieJar; readonly address: string } | undefined;
}

const NOTHING: Uint8Array = new Uint8Array(0);
const PROOF_BYTES = NOISE_KEY_BYTES + NOISE_TAG_BYTES;

/**
 * The dialled end of a handshake:
 *
 *   awaiting-init ──INIT / SHARE──▶ awaiting-proof ──PROOF / RESPONSE──▶ awaiting-finish ──FINISH / DATA──▶ open
 *     │   └──INIT without a password / RESPONSE────────────────────────────────▲
 *     └──INIT / COOKIE──▶ awaiting-init (no state is kept for it)
 *
 * Each other message closes the handshake. No refusal is sent. A wrong password, and a secret that this end does not have, take
 * the same steps and time: both fail at PROOF.
 */
export class Responder extends HandshakeEnd<ResponderState> {
  readonly #options: ResponderOptions;
  #init: Init | undefined;
  #password: PasswordKey | undefined;

  constructor(options: ResponderOptions) {
    super("awaiting-init");
    this.#options = options;
  }

  start(): HandshakeEffect[] {
    return [];
  }

  explain(reason: string): WeaveError {
    return new WeaveError("WEAVE_CONNECTION", reason);
  }

  protected step(type: number, body: Uint8Array): HandshakeEffect[] {
    switch (`${this.state} ${type}`) {
      case `awaiting-init ${MESSAGE.init}`:
        return this.#onInit(decodeInit(body));
      case `awaiting-proof ${MESSAGE.proof}`:
        return this.#onProof(body);
      case `awaiting-finish ${MESSAGE.finish}`:
        return this.#onFinish(body);
      default:
        throw malformedHandshake(`: message ${type} while ${this.state}`);
    }
  }

  #onInit(init: Init): HandshakeEffect[] {
    const { min, max, generation, cookie, body } = init;
    if (min > PROTOCOL_MAX || max < PROTOCOL_MIN) throw versionRefusal(min, max);
    const { cookies, passwords, random } = this.#options;
    if (cookies !== undefined) {
      // The share of this handshake is part of what the cookie is valid for.
      const binding = Buffer.concat([Buffer.from(cookies.address), init.head, body]);
      if (cookie.length === 0) return [send(MESSAGE.cookie, cookies.jar.make(binding))];
      if (!cookies.jar.check(cookie, binding)) throw new WeaveError("WEAVE_HANDSHAKE", "the cookie is wrong");
    }
    // The message belongs to the connection, which may use its memory again.
    this.#init = { ...init, head: Uint8Array.from(init.head), body: Uint8Array.from(body) };
    if (generation === undefined) {
      if (passwords.required) throw passwordMissing();
      this.noise = this.#begin(undefined);
      return this.#respond(body);
    }
    this.#password = passwords.forInbound(generation);
    if (this.#password === undefined) throw passwordMissing();
    this.exchange = this.#password.generator.begin(random);
    this.enter("awaiting-proof");
    return [send(MESSAGE.share, this.exchange.share)];
  }

  #onProof(body: Uint8Array): HandshakeEffect[] {
    if (body.length !== PROOF_BYTES) throw malformedHandshake(": the proof");
    const { head, body: share } = this.#init!;
    this.noise = this.#begin(exchangePsk(this.exchange!, share, { initiator: false, head }));
    try {
      return this.#respond(body);
    } catch {
      throw new WrongPassword();
    }
  }

  /** Reads the first message of Noise, and answers it. @throws WEAVE_HANDSHAKE, with a password for a wrong one */
  #respond(message: Uint8Array): HandshakeEffect[] {
    this.noise!.read(message);
    const response = this.noise!.write(NOTHING);
    this.enter("awaiting-finish");
    return [send(MESSAGE.response, response)];
  }

  #onFinish(body: Uint8Array): HandshakeEffect[] {
    const payload = this.noise!.read(body);
    const transport = this.noise!.finish();
    const remote = decodeHello(payload, transport.remoteStatic);
    this.enter("open");
    const hello = transport.send.encrypt(Uint8Array.of(MESSAGE.data), encode(this.#options.hello));
    return [send(MESSAGE.data, hello), { do: "opened", remote, transport, secret: this.#password?.secret }];
  }

  #begin(psk: Uint8Array | undefined): NoiseHandshake {
    return beginNoise(this.#options, { initiator: false, prologue: prologueOf(this.#init!.head), psk });
  }
}

const passwordMissing = () =>
  new Refusal("password", "one end has a password and the other has none: give all peers the same --password, or none");

/** The refusal of a dialling end without a common protocol version, in words for this host. @param min,max versions of the other end */
function versionRefusal(min: number, max: number): Refusal {
  const range = (from: number, to: number) => (from === to ? `${from}` : `${from} to ${to}`);
  const older = max < PROTOCOL_MIN ? "the other host" : "this host";
  return noCommonVersion(range(min, max), older);
}
