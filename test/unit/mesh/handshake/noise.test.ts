import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { keyPair, NoiseHandshake } from "#mesh/handshake/noise.js";
import { toHex } from "#src/text.js";

interface Vector {
  source: string;
  protocol_name: string;
  init_prologue: string;
  init_static: string;
  init_ephemeral: string;
  init_psks?: string[];
  resp_prologue: string;
  resp_static: string;
  resp_ephemeral: string;
  resp_psks?: string[];
  handshake_hash?: string;
  messages: { payload: string; ciphertext: string }[];
}

/** Published vectors of the Haskell (cacophony), Rust (snow) and Go (flynn/noise) implementations, for our two patterns. */
const vectors = JSON.parse(
  readFileSync(new URL("../../../../../test/unit/mesh/handshake/vectors/noise.json", import.meta.url), "utf8"),
) as Vector[];
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

for (const vector of vectors) {
  const name = vector.protocol_name ?? "XX";
  test(`${name} agrees with the vectors of ${vector.source}`, () => {
    const make = (initiator: boolean) => {
      const psk = (initiator ? vector.init_psks : vector.resp_psks)?.[0];
      return new NoiseHandshake({
        initiator,
        prologue: bytes(initiator ? vector.init_prologue : vector.resp_prologue),
        staticKey: keyPair(bytes(initiator ? vector.init_static : vector.resp_static)),
        ephemeralKey: keyPair(bytes(initiator ? vector.init_ephemeral : vector.resp_ephemeral)),
        ...(psk ? { psk: bytes(psk) } : {}),
      });
    };
    const ends = [make(true), make(false)];
    for (let i = 0; i < 3; i++) {
      const { payload, ciphertext } = vector.messages[i];
      const message = ends[i % 2].write(bytes(payload));
      assert.equal(toHex(message), ciphertext);
      assert.equal(toHex(ends[1 - (i % 2)].read(message)), payload);
    }
    const transports = ends.map((end) => end.finish());
    if (vector.handshake_hash) assert.equal(toHex(transports[0].handshakeHash), vector.handshake_hash);
    assert.deepEqual(transports[0].exporter, transports[1].exporter);
    for (let i = 3; i < vector.messages.length; i++) {
      const { payload, ciphertext } = vector.messages[i];
      const sender = transports[i % 2];
      const receiver = transports[1 - (i % 2)];
      const message = sender.send.encrypt(new Uint8Array(0), bytes(payload));
      assert.equal(toHex(message), ciphertext);
      assert.equal(toHex(receiver.receive.decrypt(new Uint8Array(0), message)), payload);
    }
  });
}

test("vectors for both patterns are there", () => {
  assert.ok(vectors.length >= 2);
  assert.ok(vectors.some((v) => v.protocol_name?.includes("XXpsk0")));
});

test("a different pre-shared key fails at the first message, before a static key is sent", () => {
  const make = (initiator: boolean, fill: number) =>
    new NoiseHandshake({
      initiator,
      prologue: new Uint8Array(0),
      staticKey: keyPair(new Uint8Array(32).fill(fill)),
      ephemeralKey: keyPair(new Uint8Array(32).fill(fill + 1)),
      psk: new Uint8Array(32).fill(fill),
    });
  const [a, b] = [make(true, 1), make(false, 7)];
  assert.throws(() => b.read(a.write(new Uint8Array(0))), { code: "WEAVE_HANDSHAKE" });
});

test("the ephemeral secret and the pre-shared key are zeroed when a handshake has ended or is abandoned", () => {
  const make = (initiator: boolean, fill: number) => ({
    initiator,
    prologue: new Uint8Array(0),
    staticKey: keyPair(new Uint8Array(32).fill(fill)),
    ephemeralKey: keyPair(new Uint8Array(32).fill(fill + 1)),
    psk: new Uint8Array(32).fill(9),
  });
  const [ours, theirs] = [make(true, 1), make(false, 7)];
  const [a, b] = [new NoiseHandshake(ours), new NoiseHandshake(theirs)];
  b.read(a.write(new Uint8Array(0)));
  assert.ok([...ours.psk, ...theirs.psk].every((byte) => byte === 0));
  a.read(b.write(new Uint8Array(0)));
  b.read(a.write(new Uint8Array(0)));
  const secrets = () => [ours, theirs].map(({ ephemeralKey }) => ephemeralKey.secret.some((byte) => byte !== 0));
  assert.deepEqual(secrets(), [true, true]);
  a.finish();
  b.wipe();
  assert.deepEqual(secrets(), [false, false]);
  assert.ok(ours.staticKey.secret.every((byte) => byte === 1));
});

test("a remote key of low order is refused", () => {
  const ephemeralKey = { secret: new Uint8Array(32).fill(3), public: new Uint8Array(32) };
  const staticKey = keyPair(new Uint8Array(32).fill(4));
  const evil = new NoiseHandshake({ initiator: true, prologue: new Uint8Array(0), staticKey, ephemeralKey });
  const good = new NoiseHandshake({
    initiator: false,
    prologue: new Uint8Array(0),
    staticKey,
    ephemeralKey: keyPair(new Uint8Array(32).fill(5)),
  });
  good.read(evil.write(new Uint8Array(0)));
  assert.throws(() => good.write(new Uint8Array(0)), { code: "WEAVE_HANDSHAKE" });
});
