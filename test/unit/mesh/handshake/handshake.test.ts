import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CookieJar } from "#mesh/handshake/cookie.js";
import type { CpaceGenerator } from "#mesh/handshake/cpace.js";
import { MESSAGE, PROTOCOL_MAX } from "#mesh/handshake/format.js";
import type { Hello } from "#mesh/handshake/hello.js";
import type { Initiator } from "#mesh/handshake/initiator.js";
import { PasswordKeys } from "#mesh/handshake/password-keys.js";
import { Responder } from "#mesh/handshake/responder.js";
import { Refusal } from "#mesh/refusals.js";
import { oneSecret } from "#mesh/secrets.js";
import { makeSigner } from "#mesh/signing.js";
import { printableText } from "#src/text.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";
import { failure, initiator, opened, own, responder, SECRET, talk, types } from "./ends.js";

const { init, response, finish, cookie, share, proof, data } = MESSAGE;
const OTHER = new Uint8Array(32).fill(2);

test("two ends with one password, and two without, open, know each other's names and keys, and have equal keys", () => {
  for (const secret of [undefined, SECRET]) {
    const { atA, atB, sent } = talk(initiator(secret), responder(secret));
    assert.deepEqual(
      types(sent),
      secret ? [init, share, proof, response, finish, data] : [init, response, finish, data],
    );
    const [a, b] = [opened(atA)!, opened(atB)!];
    assert.deepEqual([a.remote.nickname, b.remote.nickname], ["h2", "h1"]);
    assert.deepEqual(a.transport.exporter, b.transport.exporter);
    assert.deepEqual(a.transport.root, b.transport.root);
    assert.notDeepEqual(a.transport.root, a.transport.exporter);
    assert.deepEqual([a.secret?.key, b.secret?.key], [secret, secret]);
  }
});

test("two handshakes of the same ends have nothing in common", () => {
  const all = [1, 2].map((seed) => {
    const random = seededRandom(seed + 100);
    return talk(initiator(SECRET, { random }), responder(SECRET, { random: seededRandom(seed + 200) })).sent;
  });
  for (const [i, bytes] of all[0].entries()) assert.notDeepEqual(bytes.subarray(7), all[1][i].subarray(7));
});

test("with different passwords nothing but random bytes leaves either end, and the responder knows the reason", () => {
  const { atA, atB, sent } = talk(initiator(SECRET), responder(OTHER));
  assert.deepEqual(types(sent), [init, share, proof]);
  assert.equal(failure(atB)?.message, "the passwords differ: give all peers the same --password");
  assert.deepEqual(atA, []);
  // Neither of the static keys, of course no name.
  const wire = Buffer.concat(sent);
  for (const { staticKey, hello } of [own(1), own(2)]) {
    assert.equal(wire.includes(Buffer.from(staticKey.public)), false);
    assert.equal(wire.includes(hello.name), false);
  }
});

test("the initiator's static key stays with it when the responder does not know the password", () => {
  // A false responder that knows the protocol: it completes all that it can with a guess.
  const [a, liar] = [initiator(SECRET), responder(OTHER)];
  const [first] = a.start() as { bytes: Uint8Array }[];
  const [answer] = liar.receive(first.bytes) as { bytes: Uint8Array }[];
  a.receive(answer.bytes);
  const forged = Uint8Array.of(response, ...seededRandom(1).bytes(96));
  const effects = a.receive(forged);
  assert.deepEqual(
    effects.map((effect) => effect.do),
    ["failed"],
  );
});

test("a password at one end only opens nothing; each end knows the causes that are possible there", () => {
  const words = "one end has a password and the other has none: give all peers the same --password, or none";
  for (const [here, there] of [
    [SECRET, undefined],
    [undefined, SECRET],
  ]) {
    const [a, b] = [initiator(here), responder(there)];
    const { atB, sent } = talk(a, b);
    assert.equal(failure(atB)?.message, words);
    assert.deepEqual(types(sent), [init]);
    const error = a.explain("connection reset by peer");
    assert.match(error.message, /^the other host closed the connection at the first message: one end has a password/);
    assert.ok(error instanceof Refusal && error.reason === "password");
  }
});

test("an initiator reports what a closed connection can mean at each step, and where the reason is", () => {
  const steps: [number, Uint8Array | undefined, RegExp][] = [
    [
      0,
      SECRET,
      /at the first message: .*another protocol version \(here: 2\).*'weave status connections' on that host/,
    ],
    [0, undefined, /at the first message/],
    [
      1,
      SECRET,
      /^the other host refused the password of this one: .*same --password.*'weave status connections' on that host/,
    ],
    [3, SECRET, /at the last message \(gone\).*'weave status connections' on that host/],
    [1, undefined, /at the last message/],
  ];
  for (const [delivered, secret, words] of steps) {
    const [a, b] = [initiator(secret), responder(secret)];
    talk(a, b, (bytes, index) => (index <= delivered ? bytes : []));
    assert.match(a.explain("gone").message, words, `after message ${delivered}`);
  }
});

test("without a common protocol version the responder names both versions, and the host to upgrade; it sends nothing", () => {
  for (const [min, max, there, here] of [
    [3, 4, "3 to 4", "this host"],
    [1, 1, "1", "the other host"],
    [0, 0, "0", "the other host"],
  ] as const) {
    for (const rest of [0, 33, 100, 1_000]) {
      const effects = responder().receive(Uint8Array.of(init, min, max, 0, 0, 0, 0, ...new Uint8Array(rest)));
      assert.equal(effects.length, 1);
      const words = new RegExp(`\\(here: ${PROTOCOL_MAX}, by weave [\\w.]+; there: ${there}\\): upgrade ${here}$`);
      assert.match(failure(effects)!.message, words);
    }
  }
});

test("the refusal of an end of version 1 is shown as what it is, with and without a password; later it is malformed", () => {
  for (const secret of [SECRET, undefined]) {
    const dialling = initiator(secret);
    dialling.start();
    const error = failure(dialling.receive(Uint8Array.of(5, 3)));
    assert.ok(error instanceof Refusal && error.reason === "protocol");
    assert.match(error.message, /\(here: 2, by weave [\w.]+; there: 1\): upgrade the other host$/);
    assert.equal(dialling.state, "closed");
  }
  const late = initiator(undefined);
  talk(late, responder(undefined), (bytes, index) => (index <= 1 ? bytes : []));
  assert.match(failure(late.receive(Uint8Array.of(5, 3)))!.message, /malformed/);
});

test("no changed, cut, lengthened, repeated or lost message opens either end falsely, and none makes it throw", () => {
  fc.assert(
    fc.property(
      fc.nat(5),
      fc.nat(400),
      fc.integer({ min: 1, max: 255 }),
      fc.constantFrom("flip", "cut", "add", "twice", "lose"),
      fc.boolean(),
      (which, where, mask, how, withPassword) => {
        const secret = withPassword ? SECRET : undefined;
        const last = withPassword ? 5 : 3;
        fc.pre(which <= last);
        const { atA, atB } = talk(initiator(secret), responder(secret), (bytes, index) => {
          if (index !== which) return bytes;
          const copy = Uint8Array.from(bytes);
          if (how === "lose") return [];
          if (how === "twice") return [bytes, copy];
          if (how === "cut") return copy.subarray(0, where % copy.length);
          if (how === "add") return Uint8Array.from([...copy, mask]);
          copy[where % copy.length] ^= mask;
          return copy;
        });
        // The last message (the responder's hello) reaches only the initiator: the responder is open right before it.
        if (how === "twice" && which >= last - 1) return;
        assert.ok(!opened(atA), "the initiator is open");
        if (which < last) assert.ok(how === "twice" || !opened(atB), "the responder is open");
      },
    ),
    { numRuns: 500 },
  );
});

test("each byte of the clear head is authenticated: versions, password flag and generation", () => {
  for (const secret of [undefined, SECRET]) {
    for (let at = 1; at <= 6; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const { atA, atB } = talk(initiator(secret), responder(secret), (bytes, index) => {
          const copy = Uint8Array.from(bytes);
          if (index === 0) copy[at] ^= 1 << bit;
          return copy;
        });
        assert.ok(!opened(atA) && !opened(atB), `bit ${bit} of byte ${at}`);
      }
    }
  }
});

test("a man in the middle cannot take the password out of a handshake", () => {
  // It removes the flag, and speaks for an open network on the other side.
  const strip = (bytes: Uint8Array, index: number) => {
    const copy = Uint8Array.from(bytes);
    if (index === 0) copy[3] = copy[4] = copy[5] = 0;
    return copy;
  };
  const open = talk(initiator(SECRET), responder(), strip);
  assert.ok(!opened(open.atA) && !opened(open.atB));
  assert.match(failure(open.atA)!.message, /message 2 while awaiting-share/);
  // The same towards a responder with a password.
  const closed = talk(initiator(SECRET), responder(SECRET), strip);
  assert.match(failure(closed.atB)!.message, /^one end has a password/);
});

test("an end that receives its own messages back opens nothing", () => {
  for (const secret of [undefined, SECRET]) {
    const a = initiator(secret);
    const effects = a.start();
    const [{ bytes }] = effects as { bytes: Uint8Array }[];
    assert.ok(failure(a.receive(bytes)));
    // Its share as the answer, and the first message of Noise as the answer to itself.
    for (const type of [share, response, data]) {
      const b = initiator(secret);
      const [first] = b.start() as { bytes: Uint8Array }[];
      assert.ok(failure(b.receive(Uint8Array.of(type, ...first.bytes.subarray(7)))), `${type}`);
    }
  }
});

test("each message in the place of each other one, of the same or another handshake, opens nothing", () => {
  const record = (secret: Uint8Array | undefined, seed: number) =>
    talk(initiator(secret, { random: seededRandom(seed) }), responder(secret, { random: seededRandom(seed + 1) })).sent;
  for (const secret of [undefined, SECRET]) {
    const messages = [...record(secret, 50), ...record(secret, 60), ...record(secret ? undefined : SECRET, 70)];
    const count = secret ? 6 : 4;
    for (let place = 0; place < count; place++) {
      for (const other of messages) {
        const { atA, atB, sent } = talk(initiator(secret), responder(secret), (bytes, index) => {
          if (index !== place || Buffer.compare(bytes, other) === 0) return bytes;
          // Also with the type that the place requires.
          return Uint8Array.of(bytes[0], ...other.subarray(1));
        });
        assert.ok(!opened(atA) || sent.length > count, `place ${place}`);
        assert.ok(!opened(atB) || place === count - 1);
      }
    }
  }
});

test("random bytes at any moment never throw, and never open anything", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 5 }),
      fc.boolean(),
      fc.boolean(),
      (messages, dials, withPassword) => {
        const secret = withPassword ? SECRET : undefined;
        const end = dials ? initiator(secret) : responder(secret);
        end.start();
        for (const message of messages) {
          if (message.length > 0) message[0] = [1, 2, 3, 4, 6, 7, 16, message[0]][message[0] % 8];
          for (const effect of end.receive(message)) assert.notEqual(effect.do, "opened");
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("shares that are no element of the group, and the identity, end the handshake at both ends", () => {
  for (const bad of [new Uint8Array(32), new Uint8Array(32).fill(0xff), Uint8Array.of(...new Uint8Array(31), 0x80)]) {
    const { atA } = talk(initiator(SECRET), responder(SECRET), (bytes, index) =>
      index === 1 ? Uint8Array.of(share, ...bad) : bytes,
    );
    assert.match(failure(atA)!.message, /share of the key exchange/);
    const towards = talk(initiator(SECRET), responder(SECRET), (bytes, index) =>
      index === 0 ? Uint8Array.of(...bytes.subarray(0, 7), ...bad) : bytes,
    );
    assert.match(failure(towards.atB)!.message, /share of the key exchange/);
  }
});

test("an unknown generation takes the same steps as a wrong password", () => {
  for (const generation of [0, 7, 65_535]) {
    const password = new PasswordKeys({
      ...oneSecret(OTHER),
      required: true,
      forDial: () => ({ generation, key: OTHER }),
    } as never);
    const { sent, atB } = talk(initiator(OTHER, { password: password.forDial("b") }), responder(SECRET));
    assert.deepEqual(types(sent), [init, share, proof]);
    assert.match(failure(atB)!.message, /^the passwords differ/);
  }
});

test("fields of a hello that this build does not know are ignored, and so is a version that is none", () => {
  for (const version of [undefined, "0.2.0", 7, "x".repeat(100), "1\n2"]) {
    const hello = { ...own(1).hello, version, later: { field: [1] } } as unknown as Hello;
    const { atB } = talk(initiator(undefined, { hello }), responder());
    const { remote } = opened(atB)!;
    assert.equal(remote.version, version === "0.2.0" ? version : undefined);
    assert.equal("later" in remote, false);
  }
});

test("under load a cookie is required before anything is computed; it is valid for its address and key, for a limited time", () => {
  const jar = new CookieJar(new VirtualClock(), seededRandom(5));
  const cookies = { jar, address: "10.0.0.1" };
  for (const secret of [undefined, SECRET]) {
    const seen = talk(initiator(secret), responder(secret, { cookies }));
    assert.deepEqual(types(seen.sent).slice(0, 3), [init, cookie, init]);
    assert.ok(opened(seen.atA) && opened(seen.atB));
    const fails = { bytes: () => assert.fail("something was computed before the cookie") };
    const generator = { begin: fails.bytes } as unknown as CpaceGenerator;
    const passwords = { required: secret !== undefined, forInbound: () => ({ generator }) } as unknown as PasswordKeys;
    const idle = new Responder({ ...own(2), passwords, random: fails, cookies });
    const [first] = initiator(secret).start() as { bytes: Uint8Array }[];
    assert.deepEqual(
      idle.receive(first.bytes).map((effect) => effect.do),
      ["send"],
    );
    const forged = Uint8Array.from([
      ...first.bytes.subarray(0, 6),
      16,
      ...new Uint8Array(16),
      ...first.bytes.subarray(7),
    ]);
    assert.equal(failure(responder(secret, { cookies }).receive(forged))?.message, "the cookie is wrong");
    // A second cookie is an error.
    const again = talk(initiator(secret), responder(secret, { cookies }), (bytes, index) =>
      index === 1 ? [bytes, bytes] : bytes,
    );
    assert.ok(failure(again.atA));
  }
});

test("cookies expire, and are bound to one handshake", async () => {
  const clock = new VirtualClock();
  const jar = new CookieJar(clock, seededRandom(5));
  const [mine, other] = [Buffer.from("10.0.0.1 key"), Buffer.from("10.0.0.2 key")];
  const made = jar.make(mine);
  assert.ok(jar.check(made, mine));
  assert.ok(!jar.check(made, other));
  assert.ok(!jar.check(made.subarray(1), mine));
  await clock.run(120_000);
  assert.ok(jar.check(made, mine));
  await clock.run(120_000);
  assert.ok(jar.check(jar.make(mine), mine));
  await clock.run(120_000);
  assert.ok(!jar.check(made, mine));
});

test("a peer that names a key that is not its own is refused", () => {
  const hello = { ...own(1).hello, key: "a".repeat(64) };
  const { atB } = talk(initiator(undefined, { hello }), responder());
  assert.ok(failure(atB)?.message.includes("names a key that is not its own"));
});

test("a peer whose X25519 key the identity has not signed is refused: for another name, another key, another purpose", () => {
  const thief = own(1).hello;
  const certificates = [
    own(2).hello.certificate,
    makeSigner(new Uint8Array(32).fill(8)).sign("static-key", Buffer.from(`${thief.name} ${thief.key}`)),
    makeSigner(new Uint8Array(32).fill(7)).sign("record-set", Buffer.from(`${thief.name} ${thief.key}`)),
  ];
  for (const certificate of certificates) {
    const { atB } = talk(initiator(undefined, { hello: { ...thief, certificate } }), responder());
    assert.ok(failure(atB)?.message.includes("names an identity that is not its own"));
  }
});

test("a peer whose nickname contains control characters is refused", () => {
  const { atB } = talk(initiator(undefined, own(1, { nickname: "h\u001b[2J" })), responder());
  assert.ok(!opened(atB));
  assert.equal(printableText("a\u001b[31mb\u202e"), "a?[31mb?");
});

test("the secrets of a handshake that is abandoned are zeroed", () => {
  for (const secret of [undefined, SECRET]) {
    for (let delivered = 0; delivered < 4; delivered++) {
      const made: Uint8Array[] = [];
      const keeping = (seed: number) => {
        const { bytes } = seededRandom(seed);
        return {
          bytes: (count: number) => {
            made.push(bytes(count));
            return made[made.length - 1];
          },
        };
      };
      const ends = [initiator(secret, { random: keeping(1) }), responder(secret, { random: keeping(2) })] as [
        Initiator,
        Responder,
      ];
      talk(...ends, (bytes, index) => (index < delivered ? bytes : []));
      for (const end of ends) end.wipe();
      assert.ok(made.length > 0);
      for (const bytes of made)
        assert.ok(
          bytes.every((byte) => byte === 0),
          `after ${delivered} messages`,
        );
    }
  }
});
