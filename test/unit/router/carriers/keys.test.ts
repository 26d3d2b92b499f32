import assert from "node:assert/strict";
import { test } from "node:test";
import { DataKeys, type KeyEffect, type RekeyMessage } from "#router/carriers/keys.js";
import { seededRandom } from "#test/sim/virtual-time.js";

type Installed = { direction: string; epoch: number; key: string; salt: string };

/** Two ends, and the messages between them. */
function ends() {
  const secret = new Uint8Array(32).fill(3);
  const [a, b] = [new DataKeys(true, secret, seededRandom(1)), new DataKeys(false, secret, seededRandom(2))];
  const installed: Installed[][] = [[], []];
  const apply = (end: 0 | 1, effects: readonly KeyEffect[]): RekeyMessage[] => {
    const messages: RekeyMessage[] = [];
    for (const effect of effects) {
      if (effect.do === "send") messages.push(effect.message);
      else
        installed[end].push({
          direction: effect.direction,
          epoch: effect.epoch,
          key: Buffer.from(effect.key).toString("hex"),
          salt: Buffer.from(effect.salt).toString("hex"),
        });
    }
    return messages;
  };
  return { a, b, installed, apply };
}

test("both ends have the same keys, and the keys of all directions and generations differ", () => {
  const { a, b, installed, apply } = ends();
  apply(0, a.start());
  apply(1, b.start());
  for (let round = 0; round < 3; round++) {
    const [offer] = apply(0, a.rekey());
    const [answer] = apply(1, b.receive(offer));
    const [done] = apply(0, a.receive(answer));
    apply(1, b.receive(done));
  }
  const pick = (end: number, direction: string) =>
    installed[end].filter((key) => key.direction === direction).map(({ epoch, key, salt }) => ({ epoch, key, salt }));
  assert.deepEqual(pick(0, "seal"), pick(1, "open"));
  assert.deepEqual(pick(1, "seal"), pick(0, "open"));
  const keys = installed[0].map(({ key }) => key);
  assert.equal(new Set(keys).size, 8);
});

test("no end seals with a generation before the other can open it", () => {
  const { a, b, installed, apply } = ends();
  apply(0, a.start());
  apply(1, b.start());
  const [offer] = apply(0, a.rekey());
  const [answer] = apply(1, b.receive(offer));
  assert.equal(installed[1].filter(({ direction, epoch }) => direction === "seal" && epoch === 1).length, 0);
  const [done] = apply(0, a.receive(answer));
  assert.equal(installed[0].filter(({ direction, epoch }) => direction === "open" && epoch === 1).length, 1);
  apply(1, b.receive(done));
  assert.equal(installed[1].filter(({ direction, epoch }) => direction === "seal" && epoch === 1).length, 1);
});

test("rekey messages out of turn are rejected and change nothing; a lost offer is repeated", () => {
  const { a, b, apply } = ends();
  const key = new Uint8Array(32).fill(9);
  for (const message of [
    { kind: "rekey-answer", epoch: 1, key },
    { kind: "rekey-offer", epoch: 2, key },
    { kind: "rekey-done", epoch: 7 },
  ] as const) {
    assert.throws(() => a.receive(message), { code: "WEAVE_MESSAGE_MALFORMED" });
    assert.throws(() => b.receive(message), { code: "WEAVE_MESSAGE_MALFORMED" });
  }
  apply(0, a.rekey());
  const [offer] = apply(0, a.rekey());
  const [answer] = apply(1, b.receive(offer));
  apply(0, a.receive(answer));
  assert.equal(a.epoch, 1);
  assert.equal(b.epoch, 1);
});
