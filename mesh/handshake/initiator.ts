import { COOKIE_BYTES } from "#mesh/handshake/cookie.js";
import { SHARE_BYTES } from "#mesh/handshake/cpace.js";
import {
  encodeHead,
  encodeInit,
  MESSAGE,
  malformedHandshake,
  noCommonVersion,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  prologueOf,
  REFUSING_VERSION,
} from "#mesh/handshake/format.js";
import {
  beginNoise,
  exchangePsk,
  type HandshakeEffect,
  HandshakeEnd,
  type HandshakeOptions,
  type InitiatorState,
  send,
} from "#mesh/handshake/handshake.js";
import { decodeHello } from "#mesh/handshake/hello.js";
import type { NoiseHandshake, NoiseResult } from "#mesh/handshake/noise.js";
import type { PasswordKey } from "#mesh/handshake/password-keys.js";
import { Refusal } from "#mesh/refusals.js";
import { encode } from "#src/codec.js";
import type { WeaveError } from "#src/errors.js";

/** Options of the end that dials. */
export interface InitiatorOptions extends HandshakeOptions {
  /** The password; undefined: none. */
  readonly password?: PasswordKey | undefined;
}

const NOTHING: Uint8Array = new Uint8Array(0);

/** Where the operator finds the reason of a refusal, which is not sent. */
const LOOK_THERE = "'weave status connections' on that host shows the reason";

/**
 * The dialling end of a handshake:
 *
 *   new ──INIT──▶ awaiting-share ──SHARE / PROOF──▶ awaiting-response ──RESPONSE / FINISH──▶ awaiting-hello ──DATA──▶ open
 *    └──INIT, without a password──────────────────────────▲
 *
 * In the first state after INIT one COOKIE may arrive. Each other message closes the handshake.
 */
export class Initiator extends HandshakeEnd<InitiatorState> {
  readonly #options: InitiatorOptions;
  readonly #head: Uint8Array;
  #transport: NoiseResult | undefined;
  /** The body of INIT, which is sent again with a cookie. */
  #first: Uint8Array = NOTHING;
  #cookieSent = false;

  constructor(options: InitiatorOptions) {
    super("new");
    this.#options = options;
    const generation = options.password?.secret.generation;
    this.#head = encodeHead({ min: PROTOCOL_MIN, max: PROTOCOL_MAX, generation });
  }

  start(): HandshakeEffect[] {
    const { password, random } = this.#options;
    if (password === undefined) {
      this.noise = this.#begin(undefined);
      this.#first = this.noise.write(NOTHING);
      this.enter("awaiting-response");
    } else {
      this.exchange = password.generator.begin(random);
      this.#first = this.exchange.share;
      this.enter("awaiting-share");
    }
    return [this.#init(NOTHING)];
  }

  explain(reason: string): WeaveError {
    if (this.state === "awaiting-hello")
      return new Refusal(
        "handshake",
        `the other host closed the connection at the last message (${reason}): ${LOOK_THERE}`,
      );
    if (this.exchange !== undefined && this.state === "awaiting-response")
      return new Refusal(
        "password",
        `the other host refused the password of this one: give all peers the same --password; ${LOOK_THERE}`,
      );
    return new Refusal(
      "password",
      "the other host closed the connection at the first message: one end has a password and the other has none, its weave has " +
        `another protocol version (here: ${PROTOCOL_MAX}), or it slows down this address; ${LOOK_THERE}`,
    );
  }

  protected step(type: number, body: Uint8Array): HandshakeEffect[] {
    switch (`${this.state} ${type}`) {
      case `awaiting-share ${MESSAGE.refused}`:
      case `awaiting-response ${MESSAGE.refused}`:
        // Only ends of protocol 1 send it. Nothing authenticates it: it ends this handshake, as a closed connection would.
        throw noCommonVersion(`${REFUSING_VERSION}`, "the other host");
      case `awaiting-share ${MESSAGE.cookie}`:
        return this.#onCookie(body);
      case `awaiting-response ${MESSAGE.cookie}`:
        // With a password the cookie belongs to INIT, before the share.
        if (this.exchange !== undefined) throw malformedHandshake(": a late cookie");
        return this.#onCookie(body);
      case `awaiting-share ${MESSAGE.share}`:
        return this.#onShare(body);
      case `awaiting-response ${MESSAGE.response}`:
        return this.#onResponse(body);
      case `awaiting-hello ${MESSAGE.data}`:
        return this.#onHello(body);
      default:
        throw malformedHandshake(`: message ${type} while ${this.state}`);
    }
  }

  #onCookie(cookie: Uint8Array): HandshakeEffect[] {
    if (this.#cookieSent || cookie.length !== COOKIE_BYTES) throw malformedHandshake(": a wrong cookie");
    this.#cookieSent = true;
    return [this.#init(cookie)];
  }

  #onShare(share: Uint8Array): HandshakeEffect[] {
    if (share.length !== SHARE_BYTES) throw malformedHandshake(": the share");
    this.noise = this.#begin(exchangePsk(this.exchange!, share, { initiator: true, head: this.#head }));
    this.enter("awaiting-response");
    return [send(MESSAGE.proof, this.noise.write(NOTHING))];
  }

  #onResponse(body: Uint8Array): HandshakeEffect[] {
    // With a password this message proves that the responder has it: only then this end's static key leaves.
    const payload = this.noise!.read(body);
    if (payload.length > 0) throw malformedHandshake(": the response");
    const finish = this.noise!.write(encode(this.#options.hello));
    this.#transport = this.noise!.finish();
    this.enter("awaiting-hello");
    return [send(MESSAGE.finish, finish)];
  }

  #onHello(body: Uint8Array): HandshakeEffect[] {
    const transport = this.#transport!;
    const payload = transport.receive.decrypt(Uint8Array.of(MESSAGE.data), body);
    const remote = decodeHello(payload, transport.remoteStatic);
    this.enter("open");
    return [{ do: "opened", remote, transport, secret: this.#options.password?.secret }];
  }

  #begin(psk: Uint8Array | undefined): NoiseHandshake {
    return beginNoise(this.#options, { initiator: true, prologue: prologueOf(this.#head), psk });
  }

  #init(cookie: Uint8Array): HandshakeEffect {
    return { do: "send", bytes: encodeInit(this.#head, cookie, this.#first) };
  }
}
