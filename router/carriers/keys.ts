import * as z from "zod/mini";
import { diffieHellman, hkdf, type KeyPair, keyPair } from "#mesh/handshake/noise.js";
import { WeaveError } from "#src/errors.js";
import type { Random } from "#src/random.js";

/** Interval of new keys (WireGuard's REKEY_AFTER_TIME). The datapath rejects a key after REJECT_AFTER_MS of router/datapath/session-keys.ts. */
export const REKEY_MS = 120_000;

/** A message of a key exchange between two ends: see {@link DataKeys}. */
export type RekeyMessage =
  | { readonly kind: "rekey-offer"; readonly epoch: number; readonly key: Uint8Array }
  | { readonly kind: "rekey-answer"; readonly epoch: number; readonly key: Uint8Array }
  | { readonly kind: "rekey-done"; readonly epoch: number };

const key = z.instanceof(Uint8Array).check(z.refine((bytes) => (bytes as Uint8Array).length === 32));
const epoch = z.number().check(z.int(), z.gte(1), z.lte(2 ** 32));
export const rekeyShapes = [
  z.object({ kind: z.literal("rekey-offer"), epoch, key }),
  z.object({ kind: z.literal("rekey-answer"), epoch, key }),
  z.object({ kind: z.literal("rekey-done"), epoch }),
] as const;

/** Bytes of the salt from which the salts of a key's lanes are derived; part of the wire format. */
const BASE_SALT_BYTES = 4;

export type KeyEffect =
  | { readonly do: "send"; readonly message: RekeyMessage }
  | {
      readonly do: "install";
      readonly direction: "seal" | "open";
      readonly epoch: number;
      readonly key: Uint8Array;
      readonly salt: Uint8Array;
    };

/**
 * The data keys of one connection, in generations ("epochs"). The first comes from the handshake. Each further epoch adds a new
 * Diffie-Hellman exchange: a stolen key opens neither earlier nor later records.
 *
 *   dialler                                      other end
 *     ── offer (epoch n, ephemeral key) ────────▶  opens n
 *     ◀─ answer (epoch n, ephemeral key) ────────
 *   opens n, seals with n
 *     ── done (epoch n) ────────────────────────▶  seals with n
 *
 * The messages travel in order over the connection's Noise channel: each end can open records of an epoch before the other end
 * seals with it.
 */
export class DataKeys {
  readonly #dialler: boolean;
  readonly #random: Random;
  #secret: Uint8Array;
  #epoch = 0;
  /** The unanswered offer of the dialler. */
  #offer: { epoch: number; pair: KeyPair } | undefined;

  /** @param secret a secret that only the two ends of this connection know */
  constructor(dialler: boolean, secret: Uint8Array, random: Random) {
    this.#dialler = dialler;
    this.#random = random;
    // The label is part of the wire format: one carrier was named so when it was chosen. The keys are those of the connection, and
    // all carriers use them: a record keeps its seal when it moves from one carrier to another.
    this.#secret = hkdf(secret, Buffer.from("weave sleeve"), 1)[0];
  }

  /** Zeroes the secrets. The keys that were installed are their receivers' own. */
  close(): void {
    this.#secret.fill(0);
    this.#offer?.pair.secret.fill(0);
    this.#offer = undefined;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Installs the keys of epoch 0, for both directions. */
  start(): KeyEffect[] {
    return [this.#install("open", 0), this.#install("seal", 0)];
  }

  /** Offers the next epoch, at the dialler. Call this every {@link REKEY_MS}. An unanswered offer is replaced by a new one. */
  rekey(): KeyEffect[] {
    if (!this.#dialler) return [];
    this.#offer?.pair.secret.fill(0);
    this.#offer = { epoch: this.#epoch + 1, pair: keyPair(this.#random.bytes(32)) };
    return [{ do: "send", message: { kind: "rekey-offer", epoch: this.#offer.epoch, key: this.#offer.pair.public } }];
  }

  /** Handles a message of the other end. @throws WEAVE_MESSAGE_MALFORMED when the message does not fit the state */
  receive(message: RekeyMessage): KeyEffect[] {
    const next = this.#epoch + 1;
    if (message.kind === "rekey-offer" && !this.#dialler && message.epoch === next) {
      const pair = keyPair(this.#random.bytes(32));
      this.#advance(pair, message.key);
      return [
        this.#install("open", next),
        { do: "send", message: { kind: "rekey-answer", epoch: next, key: pair.public } },
      ];
    }
    if (message.kind === "rekey-answer" && this.#dialler && message.epoch === next && this.#offer?.epoch === next) {
      this.#advance(this.#offer.pair, message.key);
      this.#offer = undefined;
      return [
        this.#install("open", next),
        this.#install("seal", next),
        { do: "send", message: { kind: "rekey-done", epoch: next } },
      ];
    }
    if (message.kind === "rekey-done" && !this.#dialler && message.epoch === this.#epoch)
      return [this.#install("seal", this.#epoch)];
    throw new WeaveError(
      "WEAVE_MESSAGE_MALFORMED",
      `${message.kind} of epoch ${message.epoch} while in epoch ${this.#epoch}`,
    );
  }

  #advance(pair: KeyPair, theirs: Uint8Array): void {
    const shared = diffieHellman(pair.secret, theirs);
    const former = this.#secret;
    this.#secret = hkdf(former, shared, 1)[0];
    for (const ended of [former, shared, pair.secret]) ended.fill(0);
    this.#epoch++;
  }

  /**
   * A key for each direction: one end seals with it, the other end opens with it. Its lengths belong to this derivation, and to no cipher:
   * router/datapath/session-keys.ts derives from it as many bytes as the cipher takes.
   */
  #install(direction: "seal" | "open", epoch: number): KeyEffect {
    const fromDialler = this.#dialler === (direction === "seal");
    const [dataKey, salt] = hkdf(this.#secret, Buffer.from(fromDialler ? "dialler to other" : "other to dialler"), 2);
    return {
      do: "install",
      direction,
      epoch,
      key: Uint8Array.from(dataKey),
      salt: Uint8Array.from(salt.subarray(0, BASE_SALT_BYTES)),
    };
  }
}
