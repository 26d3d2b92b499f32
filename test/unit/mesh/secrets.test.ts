import assert from "node:assert/strict";
import { test } from "node:test";
import { type NetworkSecret, oneSecret, SecretRing } from "#mesh/secrets.js";

const secret = (generation: number, fill: number): NetworkSecret => ({
  generation,
  key: new Uint8Array(32).fill(fill),
});
/** A ring that has an order's secret, and accepts the one before it. */
const changed = (...accepted: (NetworkSecret | undefined)[]): SecretRing => {
  const ring = new SecretRing(undefined);
  ring.accept(accepted);
  return ring;
};

/** Dials until both ends use the same key, as a handshake does. @returns the number of dials, undefined after ten */
function dialsUntilEqual(from: SecretRing, to: SecretRing): number | undefined {
  for (let count = 1; count <= 10; count++) {
    const ours = from.forDial("b:1");
    if (ours === undefined) {
      if (!to.required) return count;
    } else {
      const theirs = to.forInbound(ours.generation);
      if (theirs !== undefined && Buffer.from(theirs.key).equals(ours.key)) {
        from.succeeded("b:1");
        return count;
      }
    }
    from.refused("b:1");
  }
  return undefined;
}

test("two ends with a common secret find it, whichever orders each of them knows", () => {
  const [old, now, other] = [secret(0, 1), secret(700, 2), secret(800, 3)];
  const launchedNew = oneSecret(now.key);
  const launchedOld = oneSecret(old.key);
  for (const [from, to, most] of [
    [launchedOld, launchedOld, 1],
    [launchedNew, changed(now), 1],
    [launchedNew, changed(now, old), 1],
    [launchedOld, changed(now, old), 2],
    [launchedOld, changed(other, now, old), 3],
    [changed(now, old), launchedOld, 2],
    [changed(now, old), launchedNew, 1],
    [changed(now, old), changed(other, old), 2],
    [changed(other, now, old), changed(now, old), 2],
    // From no password to a password, and back.
    [changed(now, undefined), oneSecret(undefined), 2],
    [oneSecret(undefined), changed(now, undefined), 1],
    [changed(undefined, now), changed(now), 2],
    [changed(now), changed(undefined, now), 1],
  ] as const) {
    const dials = dialsUntilEqual(from, to);
    assert.ok(dials !== undefined && dials <= most, `${JSON.stringify([from.accepted, to.accepted])}: ${dials} dials`);
  }
});

test("ends without a common secret never agree", () => {
  const [old, now] = [secret(0, 1), secret(700, 2)];
  for (const [from, to] of [
    [oneSecret(old.key), changed(now)],
    [changed(now), oneSecret(old.key)],
    [oneSecret(undefined), changed(now)],
    [oneSecret(undefined), oneSecret(old.key)],
  ])
    assert.equal(dialsUntilEqual(from, to), undefined);
});

test("each label selects a secret, so that a stranger learns nothing from it", () => {
  const ring = changed(secret(700, 2), secret(0, 1));
  for (const label of [0, 1, 700, 64_999, 65_000, 65_001, 65_533, 65_534, 65_535])
    assert.notEqual(ring.forInbound(label), undefined, `${label}`);
  assert.equal(oneSecret(undefined).forInbound(0), undefined);
});

test("a refusal at one address does not change what another one gets, and a success begins again", () => {
  const ring = changed(secret(700, 2), secret(5, 1));
  ring.refused("a:1");
  assert.equal(ring.forDial("a:1")?.generation, 5);
  assert.equal(ring.forDial("b:1")?.generation, 700);
  ring.succeeded("a:1");
  assert.equal(ring.forDial("a:1")?.generation, 700);
});

test("a secret is an earlier one unless it is that of the newest order, whatever its label", () => {
  const ring = changed(secret(700, 2), undefined, secret(5, 1));
  assert.equal(ring.isEarlier(secret(0, 2)), false);
  assert.equal(ring.isEarlier(secret(5, 1)), true);
  assert.equal(ring.isEarlier(undefined), true);
  assert.equal(oneSecret(undefined).isEarlier(undefined), false);
});
