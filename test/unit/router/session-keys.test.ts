import assert from "node:assert/strict";
import { test } from "node:test";
import { IN_FLIGHT_MS, OPEN_MS, REJECT_AFTER_MS, SEAL_REFUSED, SessionKeys } from "#router/datapath/session-keys.js";
import { nodeAesGcm, opensslAesGcm, opensslAvailable } from "#src/linux/native/aes-gcm.js";
import { clearCipher } from "#src/linux/native/clear-cipher.js";
import { Memory } from "#src/linux/native/memory.js";
import { sealableLength } from "#src/linux/native/record-cipher.js";
import { recordCipher } from "#src/linux/native/record-cipher-choice.js";

const LENGTH = 200;
const KINDS = [opensslAesGcm, nodeAesGcm, clearCipher];

test("the cipher follows the agreement of the two ends, and what this process can call", () => {
  assert.equal(recordCipher({ encrypted: true, openssl: true }), opensslAesGcm);
  assert.equal(recordCipher({ encrypted: true, openssl: false }), nodeAesGcm);
  assert.equal(recordCipher({ encrypted: true }), opensslAvailable ? opensslAesGcm : nodeAesGcm);
  assert.equal(recordCipher({ encrypted: false, openssl: true }), clearCipher);
});

test("a session seals and opens with each cipher, whose lengths of key and salt differ", () => {
  const memory = new Memory(4_096);
  for (const use of [
    { encrypted: true, openssl: true },
    { encrypted: true, openssl: false },
    { encrypted: false, openssl: true },
  ]) {
    const keys = new SessionKeys({ local: 5, lane: 3, ...use });
    keys.remote = 5;
    for (const direction of ["seal", "open"] as const)
      keys.setKey(direction, 1, new Uint8Array(32).fill(9), new Uint8Array(4).fill(7), 0);
    for (let counter = 0; counter < 3; counter++) {
      memory.u8.fill(11, 0, LENGTH);
      assert.equal(keys.seal(memory, 0, LENGTH, 1), counter);
      assert.equal(memory.view.getBigUint64(0, false), BigInt(counter));
      assert.equal(
        memory.u8.subarray(8, LENGTH - 16).every((byte) => byte === 11),
        !use.encrypted,
      );
      assert.equal(keys.open(memory, 0, LENGTH, keys.laneEpoch, 1), "ok");
      assert.ok(memory.u8.subarray(8, LENGTH - 16).every((byte) => byte === 11));
    }
    keys.close();
  }
  memory.free();
});

test("every cipher avoids the lengths that the wire format has not, the clear one too", () => {
  const memory = new Memory(70_000);
  for (const { create, keyBytes, saltBytes } of KINDS) {
    const cipher = create("seal", new Uint8Array(keyBytes), new Uint8Array(saltBytes));
    for (const length of [0, 23, 24, 65_535, 65_536, 65_559, 65_560]) {
      assert.equal(cipher.sealableLength(length), sealableLength(length));
      assert.equal(cipher.run(memory, 0, length), sealableLength(length) === length, `${length} bytes`);
    }
    cipher.free();
  }
  assert.deepEqual([65_535, 65_536, 65_559, 65_560].map(sealableLength), [65_535, 65_560, 65_560, 65_560]);
  memory.free();
});

test("a cipher rejects a key or a salt of another length than it names", () => {
  for (const { create, keyBytes, saltBytes } of [opensslAesGcm, nodeAesGcm]) {
    assert.throws(() => create("seal", new Uint8Array(keyBytes - 1), new Uint8Array(saltBytes)), {
      code: "WEAVE_CRYPTO",
    });
    assert.throws(() => create("seal", new Uint8Array(keyBytes), new Uint8Array(12)), { code: "WEAVE_CRYPTO" });
  }
});

test("every key has an end in time, after which it is gone, with and without a new one", () => {
  const memory = new Memory(4_096);
  const make = () => {
    const keys = new SessionKeys({ local: 5, lane: 0, encrypted: true, openssl: true });
    keys.remote = 5;
    return keys;
  };
  const [sealer, opener] = [make(), make()];
  const install = (keys: SessionKeys, direction: "seal" | "open", epoch: number, now: number) => {
    const key = new Uint8Array(32).fill(epoch + 1);
    keys.setKey(direction, epoch, key, new Uint8Array(4), now);
    assert.ok(key.every((byte) => byte === 0));
  };
  const sealed = () => {
    memory.u8.fill(11, 0, LENGTH);
    assert.notEqual(sealer.seal(memory, 0, LENGTH, 1), SEAL_REFUSED);
    return { record: memory.u8.slice(0, LENGTH), laneEpoch: sealer.laneEpoch };
  };
  const open = ({ record, laneEpoch }: ReturnType<typeof sealed>) => {
    memory.u8.set(record);
    return opener.open(memory, 0, LENGTH, laneEpoch, 1);
  };
  install(sealer, "seal", 0, 0);
  install(opener, "open", 0, 0);
  const old = [sealed(), sealed(), sealed(), sealed()];
  assert.equal(open(old[0]), "ok");
  // A new key that is not used yet ends no other.
  install(opener, "open", 1, 1_000);
  opener.expire(1_000 + IN_FLIGHT_MS);
  assert.equal(open(old[1]), "ok");
  install(sealer, "seal", 1, 2_000);
  const [now, newer] = [2_000 + IN_FLIGHT_MS, sealed()];
  assert.equal(open(newer), "ok");
  opener.expire(now);
  opener.expire(now + IN_FLIGHT_MS - 1);
  assert.equal(open(old[2]), "ok");
  opener.expire(now + IN_FLIGHT_MS);
  assert.equal(open(old[3]), "epoch-unknown");
  // Without another exchange the last key ends, too, at both ends.
  const last = [sealed(), sealed()];
  sealer.expire(2_000 + REJECT_AFTER_MS - 1);
  assert.ok(sealer.canSeal(2_000 + REJECT_AFTER_MS - 1));
  sealer.expire(2_000 + REJECT_AFTER_MS);
  assert.equal(sealer.seal(memory, 0, LENGTH, 1), SEAL_REFUSED);
  opener.expire(1_000 + OPEN_MS - 1);
  assert.equal(open(last[0]), "ok");
  opener.expire(1_000 + OPEN_MS);
  assert.equal(open(last[1]), "epoch-unknown");
  sealer.close();
  opener.close();
  memory.free();
});
