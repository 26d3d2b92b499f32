import assert from "node:assert/strict";
import { test } from "node:test";
import { type DecodedPacket, decode, encode, type Packet, RECURSION_DESIRED } from "dns-packet";
import fc from "fast-check";
import { decide } from "#dns/decide.js";
import { fold, inDomain, parseName, reverseAddress } from "#dns/name.js";
import {
  addressData,
  answersQuery,
  nameData,
  RCODE,
  readQuery,
  truncate,
  UDP_SIZE,
  writeError,
  writeReply,
} from "#dns/packet.js";
import { parseDnsOptions } from "#router/names/options.js";
import { parseResolvConf } from "#router/names/resolv-conf.js";
import { TcpReader } from "#router/names/upstream.js";
import { WeaveError } from "#src/errors.js";

const ask = (name: string, type = "A", extra: Partial<Packet> = {}): Uint8Array =>
  encode({
    type: "query",
    id: 4_711,
    flags: RECURSION_DESIRED,
    questions: [{ type: type as "A", name, class: "IN" }],
    ...extra,
  });

/** A zone of one name with three addresses. */
const zone = {
  domain: "weave.local.",
  lookup: (name: string) => (fold(name) === "web.weave.local." ? ["10.32.0.1", "10.32.0.2", "10.32.0.3"] : undefined),
  reverse: (address: string) => (address === "10.32.0.1" ? "Web.weave.local." : undefined),
};

function answer(bytes: Uint8Array, limit?: number): DecodedPacket | "forward" {
  const query = readQuery(bytes);
  const decision = decide(query, zone, 1);
  return decision.do === "forward"
    ? "forward"
    : (decode(Buffer.from(writeReply(query, decision.reply, limit ?? query.udpSize))) as DecodedPacket);
}

const answered = (bytes: Uint8Array): DecodedPacket => {
  const packet = answer(bytes);
  assert.ok(packet !== "forward");
  return packet;
};

const rcode = (packet: DecodedPacket) => (packet as unknown as { rcode: string }).rcode;

test("known names: addresses, in the case of the query, with the bits that resolvers expect", () => {
  for (const name of ["web.weave.local", "WEB.Weave.LOCAL", "web"]) {
    const packet = answered(ask(name));
    assert.deepEqual(
      packet.answers!.map((each) => ("data" in each ? each.data : "")),
      ["10.32.0.1", "10.32.0.2", "10.32.0.3"],
    );
    for (const each of packet.answers!) assert.equal(each.name, name);
    assert.equal(packet.questions![0].name, name);
    assert.deepEqual(
      [packet.id, packet.flag_aa, packet.flag_ra, packet.flag_rd, packet.flag_tc],
      [4_711, true, true, true, false],
    );
  }
  assert.equal(answered(ask("web.weave.local", "ANY" as "A")).answers!.length, 3);
});

test("a known name without records of a type is NOERROR, an unknown one in the domain NXDOMAIN; others are forwarded", () => {
  for (const type of ["AAAA", "MX", "TXT", "PTR"]) {
    const packet = answered(ask("web.weave.local", type));
    assert.deepEqual([rcode(packet), packet.answers!.length, packet.flag_aa], ["NOERROR", 0, true]);
  }
  for (const name of ["unknown.weave.local", "unknown", "a.web.weave.local"]) {
    const packet = answered(ask(name));
    assert.deepEqual([rcode(packet), packet.flag_aa], ["NXDOMAIN", false]);
  }
  for (const name of ["example.com", "weave.local.example.com", "notweave.local", "."])
    assert.equal(answer(ask(name)), "forward");
});

test("known addresses have names; others are forwarded; invalid ones are NXDOMAIN", () => {
  const packet = answered(ask("1.0.32.10.IN-ADDR.ARPA", "PTR"));
  assert.equal((packet.answers![0] as { data: string }).data, "Web.weave.local");
  assert.equal(answer(ask("9.0.32.10.in-addr.arpa", "PTR")), "forward");
  assert.equal(rcode(answered(ask("1.0.32.10.in-addr.arpa", "A"))), "NXDOMAIN");
  assert.equal(reverseAddress("1.0.32.10.in-addr.arpa."), "10.32.0.1");
  for (const name of ["in-addr.arpa.", "x.0.32.10.in-addr.arpa.", "1.2.3.4.5.in-addr.arpa.", "300.0.0.1.in-addr.arpa."])
    assert.equal(reverseAddress(name), undefined);
});

test("several questions, none, and other opcodes are answered with an error", () => {
  const question = { type: "A" as const, name: "web.weave.local" };
  assert.equal(rcode(answered(encode({ type: "query", id: 1, questions: [question, question] }))), "NXDOMAIN");
  assert.equal(rcode(answered(encode({ type: "query", id: 1, questions: [] }))), "NXDOMAIN");
  assert.equal(rcode(answered(ask("web.weave.local", "A", { flags: 5 << 11 }))), "NOTIMP");
});

test("an answer is as large as the client accepts (512 octets, or by EDNS), with TC if truncated", () => {
  const addresses = Array.from({ length: 60 }, (_, i) => `10.32.1.${i}`);
  const many = { ...zone, lookup: () => addresses };
  const counts = [undefined, 700, 4_096].map((udpPayloadSize) => {
    const additionals =
      udpPayloadSize === undefined ? [] : [{ type: "OPT" as const, name: ".", udpPayloadSize, flags: 0 }];
    const query = readQuery(ask("many.weave.local", "A", { additionals: additionals as never }));
    const decision = decide(query, many, 1);
    assert.ok(decision.do === "answer");
    const bytes = writeReply(query, decision.reply, query.udpSize);
    assert.ok(bytes.length <= (udpPayloadSize ?? UDP_SIZE));
    const packet = decode(Buffer.from(bytes)) as DecodedPacket;
    assert.equal(packet.flag_tc, packet.answers!.length < 60);
    return packet.answers!.length;
  });
  assert.ok(counts[0] >= 28 && counts[0] < counts[1] && counts[1] < counts[2], String(counts));
  assert.equal(counts[2], 60);
});

test("a message that is no query is rejected by code, and a header is answered with FORMERR", () => {
  const good = ask("web.weave.local");
  const refused = (bytes: Uint8Array) =>
    assert.throws(
      () => readQuery(bytes),
      (error) => error instanceof WeaveError && error.code === "WEAVE_DNS_MESSAGE",
    );
  for (let length = 0; length < good.length; length++) refused(good.subarray(0, length));
  const looping = Uint8Array.from(good);
  looping[12] = 0xc0;
  looping[13] = 12;
  refused(looping);
  refused(encode({ type: "response", id: 1, questions: [{ type: "A", name: "x" }] }));
  assert.equal(decode(Buffer.from(writeError(looping, RCODE.FORMERR)!)).id, 4_711);
  assert.equal(writeError(good.subarray(0, 11), RCODE.FORMERR), undefined);
});

test("a million damaged and random packets: an answer within the limit, or an error", () => {
  const seeds = [
    ask("web.weave.local"),
    ask("1.0.32.10.in-addr.arpa", "PTR"),
    ask("x".repeat(63)),
    ask("a.b.c.d.e.weave.local", "ANY" as "A"),
  ];
  const try_ = (bytes: Uint8Array) => {
    try {
      const query = readQuery(bytes);
      const decision = decide(query, zone, 1);
      if (decision.do === "answer")
        assert.ok(writeReply(query, decision.reply, query.udpSize).length <= Math.max(query.udpSize, bytes.length));
    } catch (error) {
      if (!(error instanceof WeaveError)) throw error;
    }
    writeError(bytes, RCODE.FORMERR);
  };
  const runs = Number(process.env.FUZZ_RUNS ?? 1_000_000);
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
      fc.nat(90),
      (seed, edits, length) => {
        const bytes = Uint8Array.from(seed).subarray(0, length);
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        try_(bytes);
      },
    ),
    { numRuns: Math.ceil(runs * 0.7) },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), try_), { numRuns: Math.ceil(runs * 0.3) });
});

test("an answer from upstream is accepted only with the query's id and question, in any case", () => {
  const { question } = readQuery(ask("example.com"));
  const response = (id: number, name: string, type: "query" | "response" = "response") =>
    encode({ type, id, questions: [{ type: "A", name }], answers: [{ type: "A", name, data: "192.0.2.1" }] });
  assert.ok(answersQuery(response(7, "EXAMPLE.com"), 7, question));
  assert.ok(!answersQuery(response(8, "example.com"), 7, question));
  assert.ok(!answersQuery(response(7, "example.org"), 7, question));
  assert.ok(!answersQuery(response(7, "example.com", "query"), 7, question));
  assert.ok(!answersQuery(response(7, "example.com").subarray(0, 20), 7, question));
  const cut = decode(Buffer.from(truncate(response(7, "example.com"), readQuery(ask("example.com"))))) as DecodedPacket;
  assert.deepEqual([cut.flag_tc, cut.answers!.length, cut.questions!.length], [true, 0, 1]);
});

test("invalid names are rejected; the domain ends at a dot", () => {
  assert.equal(parseName("web.weave.local"), "web.weave.local.");
  for (const bad of ["", ".", "a..b", "a b.c", `${"x".repeat(64)}.y`, `${"x.".repeat(130)}y`, "ä.local", "a\\b"])
    assert.throws(() => parseName(bad), WeaveError, bad);
  assert.ok(inDomain("a.weave.local.", "weave.local.") && inDomain("weave.local.", "weave.local."));
  assert.ok(!inDomain("aweave.local.", "weave.local."));
  assert.deepEqual([...addressData("10.32.0.255")], [10, 32, 0, 255]);
  assert.equal(Buffer.from(nameData("a.bc.")).toString("latin1"), "\x01a\x02bc\x00");
});

test("messages over TCP are split wherever the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 30 }),
      (messages, step) => {
        const stream = Buffer.concat(messages.map((each) => Buffer.concat([Buffer.from([0, each.length]), each])));
        const got: string[] = [];
        const reader = new TcpReader((message) => got.push(Buffer.from(message).toString("hex")));
        for (let at = 0; at < stream.length; at += step) reader.push(stream.subarray(at, at + step));
        assert.deepEqual(
          got,
          messages.map((each) => Buffer.from(each).toString("hex")),
        );
      },
    ),
  );
});

test("resolv.conf gives its first three servers, and flags become options", () => {
  assert.deepEqual(
    parseResolvConf(
      "# x\nsearch a\nnameserver 192.0.2.1\nnameserver\tfe80::1%eth0\nnameserver nonsense\noptions x\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
    ),
    ["192.0.2.1", "fe80::1%eth0", "192.0.2.3"],
  );
  const flags = {
    dns: true,
    dnsDomain: "Weave.local",
    dnsListenAddress: "172.17.0.1",
    dnsTtl: 1,
    dnsFallbackTimeout: "5s",
    resolvConf: "/x",
  };
  const options = parseDnsOptions(flags)!;
  assert.deepEqual(
    [options.domain, options.listen, options.fallbackTimeoutMs],
    ["weave.local.", { host: "172.17.0.1", port: 53 }, 5_000],
  );
  assert.equal(parseDnsOptions({ ...flags, dns: false }), undefined);
});
