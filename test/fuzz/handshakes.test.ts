/** Handshakes and the channel after them, with one message changed on the way: cut, flipped, repeated, replaced by another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { oneSecret } from "#mesh/secrets.js";
import type { Wire } from "#mesh/transport.js";
import type { Random } from "#src/random.js";
import { casesOf, SEED } from "#test/fuzz/share.js";
import { mutateBytes } from "#test/hostile/mutation.js";
import { Network } from "#test/sim/network.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** Less than the first retry of a dial. */
const SETTLE_MS = 900;
/** Messages of one direction that are changed: those of the handshake, and the first after it. */
const FIRST_MESSAGES = 5;

/** Which message is changed, and whether it was. */
interface Plan {
  readonly outward: boolean;
  readonly index: number;
  spoilt: boolean;
}

/** A wire with an attacker on it. */
function attacked(wire: Wire, plan: Plan, random: Random): Wire {
  const seen: Uint8Array[] = [];
  const passed = { outward: 0, inward: 0 };
  const pass = (bytes: Uint8Array, outward: boolean, deliver: (bytes: Uint8Array) => void) => {
    const index = outward ? passed.outward++ : passed.inward++;
    seen.push(bytes);
    if (outward !== plan.outward || index !== plan.index) return deliver(bytes);
    const other = seen[random.below(seen.length)];
    const changed =
      random.below(5) === 0 ? other : random.below(8) === 0 ? random.bytes(bytes.length) : mutateBytes(bytes, random);
    plan.spoilt = !Buffer.from(changed).equals(bytes);
    deliver(changed);
    // A second copy of what is authentic is no more welcome.
    if (!plan.spoilt) {
      deliver(bytes);
      plan.spoilt = true;
    }
  };
  return {
    remoteAddress: wire.remoteAddress,
    localAddress: wire.localAddress,
    quietMs: 0,
    get buffered() {
      return wire.buffered;
    },
    get received() {
      return wire.received;
    },
    send: (bytes, sent) => pass(bytes, true, (each) => wire.send(each, sent)),
    close: () => wire.close(),
    terminate: () => wire.terminate(),
    pause: () => wire.pause(),
    resume: () => wire.resume(),
    listen: ({ message, closed }) => wire.listen({ message: (bytes) => pass(bytes, false, message), closed }),
  };
}

// The arithmetic of a password's handshake takes some three times as long as the others.
for (const [password, count] of [
  [true, casesOf(0.4)],
  [false, casesOf(1)],
] as const)
  test(`${count} handshakes ${password ? "with" : "without"} a password, one message changed on the way: none ends in a session`, {
    timeout: 1_800_000,
  }, async () => {
    const random = seededRandom(SEED + (password ? 20 : 21));
    const secrets = () => oneSecret(password ? new Uint8Array(32).fill(7) : undefined);
    const network = new Network(SEED + 2_000);
    const victim = network.start(0, { secrets: secrets(), discovery: false });
    let [spoilt, whole] = [0, 0];
    for (let i = 0; i < count; i++) {
      const control = i % 20 === 0;
      const plan: Plan = {
        outward: random.below(2) === 0,
        index: control ? Number.POSITIVE_INFINITY : random.below(FIRST_MESSAGES),
        spoilt: false,
      };
      // Each from an address of its own: strangers are limited by it.
      const from = `10.${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
      const initiator = network.start(1, {
        secrets: secrets(),
        discovery: false,
        dial: async (address) => attacked(await network.dial(from, address), plan, random),
      });
      network.connect(initiator, victim);
      await network.clock.run(SETTLE_MS);
      const { connections } = initiator.mesh.status();
      if (plan.spoilt) {
        spoilt++;
        assert.deepEqual(
          connections.map(({ state }) => state),
          [],
          `case ${i}: message ${plan.index} ${plan.outward ? "to" : "from"} the victim was changed, and the session lives`,
        );
      } else if (control) {
        whole++;
        assert.equal(connections.length, 1, `case ${i}: an untouched handshake fails`);
      }
      initiator.mesh.stop();
      await network.clock.run(50);
    }
    assert.ok(whole > 0 && spoilt > count / 2, `${spoilt} of ${count} were changed`);
  });
