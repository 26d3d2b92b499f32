import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  Channel,
  type ChannelEffect,
  type ChannelOptions,
  certifiedBytes,
  type Hello,
  MAX_MESSAGE_BYTES,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
} from "#mesh/channel.js";
import { CookieJar } from "#mesh/cookie.js";
import { keyPair } from "#mesh/noise.js";
import { printableText } from "#mesh/peer.js";
import { makeSigner } from "#mesh/signing.js";
import { toHex } from "#src/text.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

function options(role: "initiator" | "responder", seed: number, psk?: Uint8Array): ChannelOptions {
  const random = seededRandom(seed);
  const staticKey = keyPair(random.bytes(32));
  const signer = makeSigner(random.bytes(32));
  const named = { name: `02:00:00:00:00:0${seed}`, key: toHex(staticKey.public) };
  const hello = {
    ...named,
    nickname: `h${seed}`,
    identity: signer.identity,
    certificate: signer.sign("static-key", certifiedBytes(named)),
    uid: toHex(random.bytes(8)),
    incarnation: 1,
    connectionId: seed,
    clock: 1,
    clear: false,
    overlays: ["sleeve"],
  };
  return { role, staticKey, makeEphemeralKey: () => keyPair(random.bytes(32)), hello, ...(psk ? { psk } : {}) };
}

/** Delivers the messages of two channels until neither sends any; `change` may alter each. */
function talk(
  a: Channel,
  b: Channel,
  change: (bytes: Uint8Array, index: number) => Uint8Array = (bytes) => bytes,
): ChannelEffect[][] {
  const seen: ChannelEffect[][] = [[], []];
  const queue: { to: 0 | 1; bytes: Uint8Array }[] = [];
  let index = 0;
  const take = (end: 0 | 1, effects: ChannelEffect[]) => {
    for (const effect of effects) {
      if (effect.do === "send") queue.push({ to: end === 0 ? 1 : 0, bytes: change(effect.bytes, index++) });
      else seen[end].push(effect);
    }
  };
  take(0, a.start());
  for (let next = queue.shift(); next !== undefined; next = queue.shift())
    take(next.to, [a, b][next.to].receive(next.bytes));
  return seen;
}

const opened = (effects: ChannelEffect[]) => effects.some((effect) => effect.do === "opened");

test("two ends open, know each other's names and keys, and exchange messages of every size in both directions", () => {
  for (const psk of [undefined, new Uint8Array(32).fill(1)]) {
    const [a, b] = [new Channel(options("initiator", 1, psk)), new Channel(options("responder", 2, psk))];
    const [atA, atB] = talk(a, b);
    assert.deepEqual(
      atA.map((e) => e.do === "opened" && e.remote.nickname),
      ["h2"],
    );
    assert.deepEqual(
      atB.map((e) => e.do === "opened" && e.remote.nickname),
      ["h1"],
    );
    for (const [from, to] of [
      [a, b],
      [b, a],
    ]) {
      for (const size of [0, 1, 63_999, 64_000, 64_001, 300_000]) {
        const message = Uint8Array.from({ length: size }, (_, i) => i);
        const received = from.send(message).flatMap((effect) => (effect.do === "send" ? to.receive(effect.bytes) : []));
        assert.deepEqual(
          received.map((e) => e.do),
          ["message"],
        );
        assert.equal(Buffer.compare((received[0] as { bytes: Uint8Array }).bytes, message), 0);
      }
    }
    assert.throws(() => a.send(new Uint8Array(MAX_MESSAGE_BYTES + 1)), { code: "WEAVE_MESSAGE_TOO_LARGE" });
  }
});

test("no changed, cut or lengthened handshake message opens either end falsely, and none makes it throw", () => {
  fc.assert(
    fc.property(
      fc.nat(3),
      fc.nat(300),
      fc.integer({ min: 1, max: 255 }),
      fc.constantFrom("flip", "cut", "add"),
      fc.boolean(),
      (which, where, mask, how, withPassword) => {
        const psk = withPassword ? new Uint8Array(32).fill(1) : undefined;
        const [a, b] = [new Channel(options("initiator", 1, psk)), new Channel(options("responder", 2, psk))];
        let changed = false;
        const seen = talk(a, b, (bytes, index) => {
          if (index !== which) return bytes;
          changed = true;
          const copy = Uint8Array.from(bytes);
          if (how === "cut") return copy.subarray(0, where % copy.length);
          if (how === "add") return Uint8Array.from([...copy, mask]);
          copy[where % copy.length] ^= mask;
          return copy;
        });
        assert.ok(changed);
        // The last message (the responder's hello) may reach only the initiator: the responder is open by right before it.
        assert.ok(!opened(seen[0]));
        if (which < 3) assert.ok(!opened(seen[1]));
      },
    ),
    { numRuns: 400 },
  );
});

test("without a common protocol version both ends name both versions, and the host to upgrade", () => {
  const failure = (effects: ChannelEffect[]) => {
    const [failed] = effects.filter((effect) => effect.do === "failed");
    return failed.error.message;
  };
  for (const [min, max, there, here] of [
    [2, 3, "2 to 3", "this host"],
    [0, 0, "0", "the other host"],
  ] as const) {
    const responder = new Channel(options("responder", 2));
    const effects = responder.receive(Uint8Array.of(1, min, max, 0, 0, ...new Uint8Array(32)));
    assert.match(failure(effects), new RegExp(`\\(here: 1, by weave [\\w.]+; there: ${there}\\): upgrade ${here}$`));
    assert.deepEqual(
      effects.flatMap((effect) => (effect.do === "send" ? [...effect.bytes] : [])),
      [5, 3, PROTOCOL_MIN, PROTOCOL_MAX],
    );
    const initiator = new Channel(options("initiator", 1));
    initiator.start();
    const refused = initiator.receive(Uint8Array.of(5, 3, min, max));
    assert.match(failure(refused), new RegExp(`there: ${there}\\): upgrade ${here}$`));
  }
  // An earlier build sends no versions.
  const initiator = new Channel(options("initiator", 1));
  initiator.start();
  assert.match(failure(initiator.receive(Uint8Array.of(5, 3))), /have nothing in common: upgrade the older end$/);
});

test("fields of a hello that this build does not know are ignored, and so is a version that is none", () => {
  for (const version of [undefined, "0.2.0", 7, "x".repeat(100), "1\n2"]) {
    const hello = { ...options("initiator", 1).hello, version, later: { field: [1] } } as unknown as Hello;
    const [a, b] = [new Channel({ ...options("initiator", 1), hello }), new Channel(options("responder", 2))];
    const [, seen] = talk(a, b);
    const [effect] = seen;
    assert.ok(effect?.do === "opened", `${version}`);
    assert.equal(effect.remote.version, version === "0.2.0" ? version : undefined);
    assert.equal("later" in effect.remote, false);
  }
});

test("replayed, reordered and lost session messages end the session, with an error", () => {
  for (const disturb of ["replay", "reorder", "lose"]) {
    const [a, b] = [new Channel(options("initiator", 1)), new Channel(options("responder", 2))];
    talk(a, b);
    const bytes = [1, 2, 3].map((n) => a.send(Uint8Array.of(n)).map((e) => (e as { bytes: Uint8Array }).bytes)[0]);
    const order = { replay: [0, 0], reorder: [1, 0], lose: [0, 2] }[disturb]!;
    const effects = order.flatMap((i) => b.receive(bytes[i]));
    const failed = effects.filter((effect) => effect.do === "failed");
    assert.equal(failed.length, 1);
    assert.equal(failed[0].error.message, "Unable to decrypt TCP msg");
    assert.equal(b.state, "closed");
    assert.deepEqual(b.receive(bytes[2]), []);
  }
});

test("random bytes at any moment never throw, and never open anything", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 5 }),
      fc.boolean(),
      (messages, initiator) => {
        const channel = new Channel(options(initiator ? "initiator" : "responder", 1));
        if (initiator) channel.start();
        for (const message of messages) {
          if (message.length > 0) message[0] = [1, 2, 3, 4, 5, 16, 17, message[0]][message[0] % 8];
          for (const effect of channel.receive(message)) assert.notEqual(effect.do, "opened");
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a message that never ends is rejected at the limit", () => {
  const [a, b] = [new Channel(options("initiator", 1)), new Channel(options("responder", 2))];
  talk(a, b);
  let failed = false;
  // Each part announces that more follows.
  for (let i = 0; i < 200 && !failed; i++) {
    const [first] = a.send(new Uint8Array(64_001)) as { bytes: Uint8Array }[];
    failed = b.receive(first.bytes).some((effect) => effect.do === "failed");
    if (i === 0) assert.equal(first.bytes[0], 0x11);
  }
  assert.ok(failed);
});

test("under load a cookie is required before anything is computed; it is valid for its address and key, for a limited time", () => {
  const clock = new VirtualClock();
  const jar = new CookieJar(clock, seededRandom(5));
  const responder = () => new Channel({ ...options("responder", 2), cookies: { jar, address: "10.0.0.1" } });
  const [a, b] = [new Channel(options("initiator", 1)), responder()];
  const seen = talk(a, b);
  assert.ok(opened(seen[0]) && opened(seen[1]));
  const idle = new Channel({
    ...options("responder", 2),
    makeEphemeralKey: () => assert.fail("a key was computed before the cookie"),
    cookies: { jar, address: "10.0.0.1" },
  });
  const [first] = new Channel(options("initiator", 1)).start() as { bytes: Uint8Array }[];
  assert.deepEqual(
    idle.receive(first.bytes).map((effect) => effect.do),
    ["send"],
  );
  const wrong = new Channel(options("initiator", 1));
  const [init] = wrong.start() as { bytes: Uint8Array }[];
  const forged = Uint8Array.from([...init.bytes.subarray(0, 4), 16, ...new Uint8Array(16), ...init.bytes.subarray(5)]);
  const effects = responder().receive(forged);
  assert.ok(effects.some((effect) => effect.do === "failed" && effect.error.message === "the cookie is wrong"));
});

test("cookies expire, and are bound to one handshake", async () => {
  const clock = new VirtualClock();
  const jar = new CookieJar(clock, seededRandom(5));
  const [mine, other] = [Buffer.from("10.0.0.1 key"), Buffer.from("10.0.0.2 key")];
  const cookie = jar.make(mine);
  assert.ok(jar.check(cookie, mine));
  assert.ok(!jar.check(cookie, other));
  assert.ok(!jar.check(cookie.subarray(1), mine));
  await clock.run(120_000);
  assert.ok(jar.check(cookie, mine));
  await clock.run(120_000);
  assert.ok(jar.check(jar.make(mine), mine));
  await clock.run(120_000);
  assert.ok(!jar.check(cookie, mine));
});

test("a peer that names a key that is not its own is refused", () => {
  const liar = options("initiator", 1);
  const [a, b] = [
    new Channel({ ...liar, hello: { ...liar.hello, key: "a".repeat(64) } }),
    new Channel(options("responder", 2)),
  ];
  const seen = talk(a, b);
  assert.ok(
    seen[1].some(
      (effect) => effect.do === "failed" && effect.error.message.includes("names a key that is not its own"),
    ),
  );
});

test("a peer that names an identity that has not signed its key is refused", () => {
  const liar = options("initiator", 1);
  const other = options("initiator", 3).hello;
  const stolen = [
    { identity: other.identity },
    { identity: other.identity, certificate: other.certificate },
    { name: "02:00:00:00:00:09" },
    { certificate: liar.hello.certificate.map((byte) => byte ^ 1) },
  ];
  for (const change of stolen) {
    const a = new Channel({ ...liar, hello: { ...liar.hello, ...change } });
    const seen = talk(a, new Channel(options("responder", 2)));
    assert.ok(!opened(seen[1]), JSON.stringify(change));
    assert.ok(
      seen[1].some((effect) => effect.do === "failed" && effect.error.message.includes("an identity that is not its")),
    );
  }
});

test("a peer whose nickname contains control characters is refused", () => {
  const rude = options("initiator", 1);
  const a = new Channel({ ...rude, hello: { ...rude.hello, nickname: "h\u001b[2J" } });
  const seen = talk(a, new Channel(options("responder", 2)));
  assert.ok(!opened(seen[1]));
  assert.equal(printableText("a\u001b[31mb\u202e"), "a?[31mb?");
});
