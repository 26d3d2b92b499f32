import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { PeerName } from "#mesh/peer.js";
import { type ComparisonMessage, type RelayedMessage, TOKEN_BYTES } from "#mesh/replica/replica-message.js";
import type { Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";

/** Time for which tokens are the same; those of the time before are valid, too. */
const EPOCH_MS = 60_000;

/** The other end of a comparison. */
export interface Partner {
  readonly name: PeerName;
  /**
   * For a peer that is not the neighbour that delivered the message: whether it has proven that it gets what is sent to it, and
   * the token by which this peer proves the same to it.
   */
  readonly relayed?: { readonly isProven: boolean; readonly echo: Uint8Array };
}

export interface ReturnPathDeps {
  readonly signer: Signer;
  /** Name of the set. */
  readonly set: string;
  readonly incarnation: number;
  readonly clock: Clock;
  /** Returns the reachable peers. */
  readonly reachable: () => ReadonlySet<PeerName>;
}

const NO_TOKEN = new Uint8Array(0);

/**
 * Finds out who gets the answer to a message, which should be its sender: any neighbour can send messages in the name of a third
 * peer, and a large answer would be a flood for that one. A neighbour's own message needs no proof. Beyond a neighbour that does
 * not have the set, and relays its messages, is another peer that has it. It gets a token, and must return it (as in the
 * return-routability procedure of Mobile IPv6, RFC 6275, 5.2) before more than a few hundred bytes are sent to it. Only peers on
 * the route to it see the token, and they have to forward what they have requested in its name. Tokens take no memory.
 */
export class ReturnPath {
  readonly #deps: ReturnPathDeps;
  #key: Uint8Array | undefined;

  constructor(deps: ReturnPathDeps) {
    this.#deps = deps;
  }

  /** Returns the other end of the comparison that a message belongs to, and the message. */
  open(
    from: PeerName,
    neighbour: PeerName,
    message: ComparisonMessage | RelayedMessage,
  ): [Partner, message: ComparisonMessage] {
    const inner = message.kind === "relayed" ? message.message : message;
    // A made-up name gets no answer.
    if (from === neighbour || !this.#deps.reachable().has(from)) return [{ name: neighbour }, inner];
    const { token, echo } = message.kind === "relayed" ? message : { token: NO_TOKEN, echo: NO_TOKEN };
    return [{ name: from, relayed: { isProven: this.#isOurs(from, echo), echo: token } }, inner];
  }

  /** Returns a message as it is sent to the other end. */
  seal({ name, relayed }: Partner, message: ComparisonMessage): ComparisonMessage | RelayedMessage {
    if (relayed === undefined) return message;
    return { kind: "relayed", token: this.#token(name, this.#epoch), echo: relayed.echo, message };
  }

  get #epoch(): number {
    return Math.floor(this.#deps.clock.now() / EPOCH_MS);
  }

  #isOurs(peer: PeerName, token: Uint8Array): boolean {
    if (token.length !== TOKEN_BYTES) return false;
    const epoch = this.#epoch;
    return [epoch, epoch - 1].some((each) => timingSafeEqual(token, this.#token(peer, each)));
  }

  #token(peer: PeerName, epoch: number): Uint8Array {
    const mac = createHmac("sha256", this.#secret()).update(`${peer} ${epoch}`).digest();
    return new Uint8Array(mac.subarray(0, TOKEN_BYTES));
  }

  /** A secret of this run: signatures of Ed25519 follow from the key and the message, and this one is never sent. */
  #secret(): Uint8Array {
    const { signer, set, incarnation } = this.#deps;
    this.#key ??= createHash("sha256")
      .update(signer.sign("return-path", Buffer.from(`${set} ${incarnation}`)))
      .digest();
    return this.#key;
  }
}
