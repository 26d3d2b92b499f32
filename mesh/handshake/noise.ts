import { createCipheriv, createDecipheriv, createHash, createHmac } from "node:crypto";
import { x25519, x25519Public } from "#mesh/handshake/x25519.js";
import { WeaveError } from "#src/errors.js";

/**
 * Part of the Noise Protocol Framework, revision 34 (https://noiseprotocol.org/noise.html): the patterns XX and XXpsk0 with
 * Curve25519, ChaCha20-Poly1305 and SHA-256. Section numbers in this file are those of the specification.
 */

/** Size of public and secret keys. */
export const NOISE_KEY_BYTES = 32;
const HASH_BYTES = 32;
/** Size of an authentication tag. */
export const NOISE_TAG_BYTES = 16;
const NOTHING: Uint8Array = new Uint8Array(0);

/** An X25519 key pair. */
export interface KeyPair {
  readonly secret: Uint8Array;
  readonly public: Uint8Array;
}

/** Makes the key pair of a secret. @param secret 32 random bytes */
export function keyPair(secret: Uint8Array): KeyPair {
  return { secret, public: x25519Public(secret) };
}

/** Computes a shared secret (X25519). @throws WEAVE_HANDSHAKE when the public key is of low order */
export function diffieHellman(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const shared = x25519(secret, publicKey);
  if (shared === undefined) throw new WeaveError("WEAVE_HANDSHAKE", "the remote public key is of low order");
  return shared;
}

const sha256 = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Uint8Array => {
  const mac = createHmac("sha256", key);
  for (const part of parts) mac.update(part);
  return mac.digest();
};

/** Computes HKDF as Noise defines it (section 4.3): `count` outputs of 32 bytes. */
export function hkdf(chainingKey: Uint8Array, input: Uint8Array, count: number): Uint8Array[] {
  const temp = hmac(chainingKey, input);
  const outputs: Uint8Array[] = [];
  for (let i = 1; i <= count; i++) outputs.push(hmac(temp, outputs[i - 2] ?? NOTHING, Uint8Array.of(i)));
  temp.fill(0);
  return outputs;
}

/** A cipher key with its counter (section 5.1). Nonces are not sent: a lost, repeated or reordered message causes an error. */
export class CipherState {
  readonly #key: Uint8Array;
  #nonce = 0;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  encrypt(ad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const cipher = createCipheriv("chacha20-poly1305", this.#key, this.#next(), { authTagLength: NOISE_TAG_BYTES });
    cipher.setAAD(ad, { plaintextLength: plaintext.length });
    return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }

  /** @throws WEAVE_HANDSHAKE when the message is not authentic, or not the next one */
  decrypt(ad: Uint8Array, message: Uint8Array): Uint8Array {
    if (message.length < NOISE_TAG_BYTES) throw new WeaveError("WEAVE_HANDSHAKE", "an encrypted message is too short");
    const text = message.subarray(0, message.length - NOISE_TAG_BYTES);
    const cipher = createDecipheriv("chacha20-poly1305", this.#key, this.#next(), { authTagLength: NOISE_TAG_BYTES });
    cipher.setAAD(ad, { plaintextLength: text.length });
    cipher.setAuthTag(message.subarray(message.length - NOISE_TAG_BYTES));
    try {
      const plaintext = cipher.update(text);
      // A stream cipher has no bytes left: it is the check of the tag.
      cipher.final();
      return plaintext;
    } catch (cause) {
      throw new WeaveError("WEAVE_HANDSHAKE", "Unable to decrypt TCP msg", { cause });
    }
  }

  /** Number of messages under this key. */
  get count(): number {
    return this.#nonce;
  }

  /** Zeroes the key, which is then useless. */
  wipe(): void {
    this.#key.fill(0);
  }

  /** Returns the next nonce: 32 zero bits and the counter, little-endian (section 12.3). The counter is exact up to 2^53. */
  #next(): Uint8Array {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32LE(this.#nonce >>> 0, 4);
    nonce.writeUInt32LE(Math.floor(this.#nonce / 0x1_0000_0000), 8);
    this.#nonce++;
    return nonce;
  }
}

/** Makes a cipher of 32 secret bytes, which it zeroes in the end. */
export function cipherOf(key: Uint8Array): CipherState {
  return new CipherState(key);
}

/** The symmetric state of a handshake (section 5.2). */
class SymmetricState {
  chainingKey: Uint8Array;
  hash: Uint8Array;
  #cipher: CipherState | undefined;

  constructor(protocolName: string) {
    const name = Buffer.from(protocolName);
    this.hash =
      name.length <= HASH_BYTES ? Buffer.concat([name, Buffer.alloc(HASH_BYTES - name.length)]) : sha256(name);
    // A copy: it is zeroed when it is replaced.
    this.chainingKey = Uint8Array.from(this.hash);
  }

  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = hkdf(this.chainingKey, input, 2);
    this.#replace(chainingKey, key);
  }

  mixHash(data: Uint8Array): void {
    this.hash = sha256(this.hash, data);
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, hash, key] = hkdf(this.chainingKey, input, 3);
    this.mixHash(hash);
    hash.fill(0);
    this.#replace(chainingKey, key);
  }

  get keyed(): boolean {
    return this.#cipher !== undefined;
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const message = this.#cipher?.encrypt(this.hash, plaintext) ?? plaintext;
    this.mixHash(message);
    return message;
  }

  decryptAndHash(message: Uint8Array): Uint8Array {
    const plaintext = this.#cipher?.decrypt(this.hash, message) ?? message;
    this.mixHash(message);
    return plaintext;
  }

  split(): [CipherState, CipherState] {
    const [first, second] = hkdf(this.chainingKey, NOTHING, 2);
    return [new CipherState(first), new CipherState(second)];
  }

  /** Zeroes the secrets. */
  wipe(): void {
    this.chainingKey.fill(0);
    this.#cipher?.wipe();
  }

  #replace(chainingKey: Uint8Array, key: Uint8Array): void {
    this.wipe();
    this.chainingKey = chainingKey;
    this.#cipher = new CipherState(key);
  }
}

type Token = "e" | "s" | "ee" | "es" | "se" | "psk";

/** Tokens of the three messages of XX (section 7.5). XXpsk0 adds "psk" at the beginning of the first message (section 9). */
const MESSAGES: readonly (readonly Token[])[] = [["e"], ["e", "ee", "s", "es"], ["s", "se"]];

/** The inputs of a {@link NoiseHandshake}. */
export interface NoiseOptions {
  readonly initiator: boolean;
  /** Data that both ends must agree on; it is not sent. */
  readonly prologue: Uint8Array;
  readonly staticKey: KeyPair;
  /** A key pair for this handshake alone. Its secret is zeroed when the handshake ends. */
  readonly ephemeralKey: KeyPair;
  /** Pre-shared key of 32 bytes; it selects XXpsk0. Zeroed after its use. */
  readonly psk?: Uint8Array;
}

/** The result of a finished handshake. */
export interface NoiseResult {
  readonly send: CipherState;
  readonly receive: CipherState;
  /** A hash that is unique to this handshake, and equal at both ends. */
  readonly handshakeHash: Uint8Array;
  /** A secret of this handshake from which the keys of frames are derived; it is independent of the two cipher keys. */
  readonly exporter: Uint8Array;
  /** Another such secret, from which the later keys of the channel are derived. */
  readonly root: Uint8Array;
  readonly remoteStatic: Uint8Array;
}

/** A handshake (section 5.3): three messages, written and read in turn. After an error the handshake must be abandoned. */
export class NoiseHandshake {
  readonly #options: NoiseOptions;
  readonly #symmetric: SymmetricState;
  #turn = 0;
  #remoteEphemeral: Uint8Array | undefined;
  #remoteStatic: Uint8Array | undefined;

  constructor(options: NoiseOptions) {
    this.#options = options;
    this.#symmetric = new SymmetricState(`Noise_XX${options.psk ? "psk0" : ""}_25519_ChaChaPoly_SHA256`);
    this.#symmetric.mixHash(options.prologue);
  }

  /** Writes the next message. @throws WEAVE_HANDSHAKE */
  write(payload: Uint8Array): Uint8Array {
    const { staticKey, ephemeralKey, psk } = this.#options;
    const symmetric = this.#symmetric;
    const parts: Uint8Array[] = [];
    for (const token of this.#tokens()) {
      if (token === "e") {
        parts.push(ephemeralKey.public);
        symmetric.mixHash(ephemeralKey.public);
        // With a pre-shared key the ephemeral key is mixed into the cipher key too (section 9.2).
        if (psk) symmetric.mixKey(ephemeralKey.public);
      } else if (token === "s") parts.push(symmetric.encryptAndHash(staticKey.public));
      else this.#mix(token);
    }
    parts.push(symmetric.encryptAndHash(payload));
    return Buffer.concat(parts);
  }

  /** Reads the next message. @returns its payload @throws WEAVE_HANDSHAKE */
  read(message: Uint8Array): Uint8Array {
    const symmetric = this.#symmetric;
    let rest = message;
    const take = (count: number): Uint8Array => {
      if (rest.length < count) throw new WeaveError("WEAVE_HANDSHAKE", "a handshake message is too short");
      const part = rest.subarray(0, count);
      rest = rest.subarray(count);
      return part;
    };
    for (const token of this.#tokens()) {
      if (token === "e") {
        this.#remoteEphemeral = Uint8Array.from(take(NOISE_KEY_BYTES));
        symmetric.mixHash(this.#remoteEphemeral);
        if (this.#options.psk) symmetric.mixKey(this.#remoteEphemeral);
      } else if (token === "s") {
        this.#remoteStatic = symmetric.decryptAndHash(
          take(symmetric.keyed ? NOISE_KEY_BYTES + NOISE_TAG_BYTES : NOISE_KEY_BYTES),
        );
      } else this.#mix(token);
    }
    return symmetric.decryptAndHash(rest);
  }

  /** Returns the keys, after all three messages. @throws WEAVE_HANDSHAKE when a message is missing */
  finish(): NoiseResult {
    if (this.#turn !== MESSAGES.length) throw new WeaveError("WEAVE_HANDSHAKE", "the handshake is not finished");
    const [first, second] = this.#symmetric.split();
    const { initiator } = this.#options;
    const { chainingKey, hash } = this.#symmetric;
    const result = {
      send: initiator ? first : second,
      receive: initiator ? second : first,
      handshakeHash: hash,
      exporter: hkdf(chainingKey, Buffer.from("weave exporter"), 1)[0],
      root: hkdf(chainingKey, Buffer.from("weave channel"), 1)[0],
      remoteStatic: this.#remoteStatic!,
    };
    this.wipe();
    return result;
  }

  /** Zeroes the secrets of this handshake: it has ended, or is abandoned. */
  wipe(): void {
    this.#symmetric.wipe();
    this.#options.ephemeralKey.secret.fill(0);
    this.#options.psk?.fill(0);
  }

  #tokens(): readonly Token[] {
    const turn = this.#turn++;
    if (turn >= MESSAGES.length) throw new WeaveError("WEAVE_HANDSHAKE", "a handshake has three messages");
    return turn === 0 && this.#options.psk ? ["psk", ...MESSAGES[0]] : MESSAGES[turn];
  }

  #mix(token: Exclude<Token, "e" | "s">): void {
    const { initiator, staticKey, ephemeralKey, psk } = this.#options;
    if (token === "psk") {
      this.#symmetric.mixKeyAndHash(psk!);
      psk!.fill(0);
      return;
    }
    // The first letter of a token is the initiator's key, the second one the responder's.
    const ours = (initiator ? token[0] : token[1]) === "e" ? ephemeralKey : staticKey;
    const theirs = (initiator ? token[1] : token[0]) === "e" ? this.#remoteEphemeral : this.#remoteStatic;
    const shared = diffieHellman(ours.secret, theirs!);
    this.#symmetric.mixKey(shared);
    shared.fill(0);
  }
}
