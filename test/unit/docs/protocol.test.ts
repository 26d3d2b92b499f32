import assert from "node:assert/strict";
import { createDecipheriv, hkdfSync } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NAME_FORMAT, type NameFields } from "#dns/name-record.js";
import { decodeIpamMessage } from "#ipam/wire/ipam-message.js";
import { MESSAGE } from "#mesh/handshake/format.js";
import type { Handshake, HandshakeEffect } from "#mesh/handshake/handshake.js";
import { certifiedBytes, type Hello } from "#mesh/handshake/hello.js";
import { Initiator } from "#mesh/handshake/initiator.js";
import { keyPair, type NoiseResult } from "#mesh/handshake/noise.js";
import { PasswordKeys } from "#mesh/handshake/password-keys.js";
import { Responder } from "#mesh/handshake/responder.js";
import { decodeMessage } from "#mesh/messages.js";
import { isHeadBy } from "#mesh/replica/head.js";
import { OriginRecords } from "#mesh/replica/origin-records.js";
import { RecordCodec } from "#mesh/replica/record-codec.js";
import { decodeReplicaMessage, encodeReplicaMessage } from "#mesh/replica/replica-message.js";
import { oneSecret } from "#mesh/secrets.js";
import { isSignedBy, makeSigner } from "#mesh/signing.js";
import { DataKeys } from "#router/carriers/keys.js";
import { KIND_FRAMES, MAX_HOPS, writeMac } from "#router/datapath/record.js";
import { Session } from "#router/datapath/session.js";
import { encode } from "#src/codec.js";
import { Memory } from "#src/linux/native/memory.js";
import { systemRandom } from "#src/random.js";
import { toHex } from "#src/text.js";
import { block, page, ROOT } from "#test/lab/docs/pages.js";

/** docs/protocol.md is decoded as it is written, and compared with what the sources do. */

const text = page("docs/protocol.md");
const example = (label: string): string => block(text, `hex ${label}`).replace(/\s/g, "");
const source = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** JSON of the page as data: `hex:` strings become bytes. */
const revive = (_key: string, value: unknown): unknown =>
  typeof value === "string" && value.startsWith("hex:") ? Buffer.from(value.slice(4), "hex") : value;

interface Example {
  readonly kind: string;
}

const messages = (label: string): Example[] =>
  block(text, `json ${label}`)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line, revive) as Example);

/** Kinds that a source declares as literals of its shapes. */
const kindsOf = (path: string): string[] =>
  [...source(path).matchAll(/kind: z\.literal\("([\w-]+)"\)/g)].map(([, kind]) => kind).sort();

/** Every kind has an example, and each example keeps all its fields when it is decoded. */
function checkKinds(label: string, declared: readonly string[], decode: (message: Example) => unknown): void {
  const examples = messages(label);
  assert.deepEqual(examples.map(({ kind }) => kind).sort(), [...declared]);
  for (const message of examples) assert.deepEqual(plain(decode(message)), plain(message), message.kind);
}

/** Byte arrays as numbers: msgpackr returns Buffers, which JSON writes in a form of their own. */
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_key, each) => (each?.type === "Buffer" ? each.data : each));

test("mesh messages have the documented shapes", () =>
  checkKinds("mesh", kindsOf("mesh/messages.ts"), (message) => decodeMessage(encode(message))));

test("address messages have the documented shapes", () =>
  checkKinds(
    "ipam",
    kindsOf("ipam/wire/ipam-message.ts"),
    (body) => decodeIpamMessage(encode({ range: "10.32.0.0/12", body })).body,
  ));

test("carrier messages have the documented kinds", () => {
  const files = readdirSync(join(ROOT, "router/carriers"), { recursive: true, encoding: "utf8" });
  const declared = files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => kindsOf(join("router/carriers", file)));
  assert.deepEqual(
    messages("overlay")
      .map(({ kind }) => kind)
      .sort(),
    declared.sort(),
  );
});

test("messages of replicated sets are encoded as documented", () => {
  const rows = block(text, "hex replica")
    .trim()
    .split("\n")
    .map((line) => line.split(/\s+/));
  const kinds = rows.map(([kind, hex]) => {
    const bytes = Buffer.from(hex, "hex");
    const message = decodeReplicaMessage("names", bytes);
    assert.equal(toHex(encodeReplicaMessage(message)), hex, kind);
    assert.equal(message.kind, kind);
    return kind;
  });
  assert.deepEqual(kinds.sort(), ["buckets", "digest", "have", "proof", "relayed", "states", "summary", "want"]);
});

test("the documented state of a replicated set has the documented record, and the signature of the documented identity", () => {
  const [, hex] = block(text, "hex replica").match(/^states\s+(\w+)$/m)!;
  const message = decodeReplicaMessage("names", Buffer.from(hex, "hex"));
  assert.ok(message.kind === "states");
  const [state] = message.states;
  const [entry] = new RecordCodec(NAME_FORMAT).entries(state, 0);
  const { hash } = new OriginRecords<NameFields>().try([entry], 0);
  const { identity } = makeSigner(new Uint8Array(32).fill(1));
  assert.ok(isHeadBy(isSignedBy, identity, NAME_FORMAT.name, { ...state, hash }));
  assert.deepEqual(JSON.parse(block(text, "json replica-record")), [
    entry.record.version,
    entry.record.tombstone,
    ...NAME_FORMAT.pack(entry.record),
  ]);
});

const HELLO: Omit<Hello, "key" | "identity" | "certificate"> = {
  name: "02:00:00:00:00:01",
  nickname: "h1",
  uid: "00f1e2d3c4b5a697",
  incarnation: 1,
  connectionId: 1,
  clock: 1,
  clear: false,
  overlays: ["sleeve"],
};

const secret = (byte: number) => keyPair(new Uint8Array(32).fill(byte));

function helloOf(staticByte: number): Hello {
  const signer = makeSigner(new Uint8Array(32).fill(staticByte + 2));
  const named = { name: HELLO.name, key: toHex(secret(staticByte).public) };
  return {
    ...HELLO,
    ...named,
    identity: signer.identity,
    certificate: signer.sign("static-key", certifiedBytes(named)),
  };
}

/** Runs a handshake with the example's keys: the messages by their type, and the initiator's result. */
function handshake(network?: Uint8Array): { sent: Map<number, Uint8Array>; result: NoiseResult } {
  const passwords = new PasswordKeys(oneSecret(network));
  const own = (byte: number) => ({
    staticKey: secret(byte),
    random: { bytes: (count: number) => new Uint8Array(count).fill(byte + 1) },
    hello: helloOf(byte),
  });
  const initiator = new Initiator({ ...own(1), password: passwords.forDial("") });
  const responder = new Responder({ ...own(3), passwords });
  const sent = new Map<number, Uint8Array>();
  let result: NoiseResult | undefined;
  const deliver = (effects: readonly HandshakeEffect[], from: Handshake): void => {
    for (const effect of effects) {
      if (effect.do === "failed") throw effect.error;
      if (effect.do === "opened" && from === initiator) result = effect.transport;
      if (effect.do !== "send") continue;
      sent.set(effect.bytes[0], effect.bytes);
      const to = from === initiator ? responder : initiator;
      deliver(to.receive(effect.bytes), to);
    }
  };
  deliver(initiator.start(), initiator);
  assert.ok(result !== undefined);
  return { sent, result };
}

test("the types of messages are the documented ones", () => {
  const types = [...text.matchAll(/^\| `0x(\w\w)` \| [A-Z_]+ \|/gm)].map(([, type]) => Number.parseInt(type, 16));
  assert.deepEqual(types, Object.values(MESSAGE));
});

test("the worked example of a handshake is what the sources send", () => {
  const { sent, result } = handshake();
  const examples = ["init", "response", "exporter"].map(example);
  assert.deepEqual(examples, [sent.get(1)!, sent.get(2)!, result.exporter].map(toHex));
  const keys = new DataKeys(true, result.exporter, systemRandom).start();
  const sealing = keys.find((effect) => effect.do === "install" && effect.direction === "seal");
  assert.ok(sealing?.do === "install");
  assert.equal(example("key, dialler to other, epoch 0"), toHex(sealing.key));
});

test("the worked example of a handshake with a password is what the sources send", () => {
  const { sent, result } = handshake(new Uint8Array(32).fill(5));
  const examples = ["init", "share", "proof", "response", "exporter"].map((name) =>
    example(`${name}, with a password`),
  );
  const { init, share, proof, response } = MESSAGE;
  const messages = [init, share, proof, response].map((type) => sent.get(type)!);
  assert.deepEqual(examples, [...messages, result.exporter].map(toHex));
});

const KEY = new Uint8Array(32).fill(0x11);
const SALT = new Uint8Array(4).fill(0x22);

test("the worked datagram opens by the page's description alone", () => {
  const datagram = Buffer.from(example("datagram"), "hex");
  const [type, index, count, laneEpoch] = datagram;
  assert.deepEqual([type, index, count, laneEpoch >>> 4, laneEpoch & 15], [0x57, 0, 1, 1, 2]);
  assert.equal(datagram.readUInt32LE(4), 7);
  assert.equal(datagram.readUInt32LE(8), 5);
  const record = datagram.subarray(12);
  assert.equal(record.readBigUInt64BE(0), 5n);
  const lane = Buffer.from(hkdfSync("sha256", KEY, SALT, "weave lane 1", 36));
  const sealed = record.subarray(8, record.length - 16);
  const aad = Buffer.alloc(13);
  datagram.copy(aad, 0, 4, 8);
  aad[4] = laneEpoch;
  aad[5] = count;
  aad.writeUInt16BE(sealed.length, 11);
  const nonce = Buffer.concat([lane.subarray(32), record.subarray(0, 8)]);
  const cipher = createDecipheriv("aes-256-gcm", lane.subarray(0, 32), nonce);
  cipher.setAAD(aad);
  cipher.setAuthTag(record.subarray(record.length - 16));
  const opened = Buffer.concat([cipher.update(sealed), cipher.final()]);
  assert.equal(opened.toString("hex"), example("plaintext"));
  assert.deepEqual([opened[0], opened[1]], [0, 32]);
  assert.equal(opened.subarray(2, 14).toString("hex"), "020000000001020000000002");
  assert.equal(opened.readUInt16LE(14), 0);
  assert.equal(opened.readUInt16LE(16), 24);
  assert.equal(opened.subarray(28).toString("hex"), "02000000000b02000000000a88b5");
});

test("the worked datagram is what a session seals", () => {
  const memory = new Memory(4_096);
  const plaintext = Buffer.from(`${"00".repeat(16)}1800${"00".repeat(10)}02000000000b02000000000a88b5`, "hex");
  const session = new Session({
    local: 1,
    peer: 2,
    encrypted: true,
    lane: 1,
    openssl: false,
    sender: undefined as never,
  });
  session.keys.remote = 7;
  session.keys.setKey("seal", 2, KEY, SALT, 0);
  const length = 8 + plaintext.length + 16;
  const write = () => {
    memory.u8.fill(0, 0, length);
    memory.u8.set(plaintext, 8);
    memory.u8[8] = KIND_FRAMES;
    memory.u8[9] = MAX_HOPS;
    writeMac(memory.view, 10, 0x020000000001);
    writeMac(memory.view, 16, 0x020000000002);
  };
  for (let counter = 0; counter < 5; counter++) {
    write();
    assert.equal(session.keys.seal(memory, 0, length, 1), counter);
  }
  write();
  assert.equal(toHex(memory.u8.subarray(8, length - 16)), example("plaintext"));
  assert.equal(session.keys.seal(memory, 0, length, 1), 5);
  const header = Buffer.from([0x57, 0, 1, session.keys.laneEpoch, 7, 0, 0, 0, 5, 0, 0, 0]);
  assert.equal(toHex(header) + toHex(memory.u8.subarray(0, length)), example("datagram"));
});
