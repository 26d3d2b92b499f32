import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Deeds } from "#ipam/agreement/deeds.js";
import { OtherRanges } from "#ipam/agreement/other-ranges.js";
import { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import { sign } from "#ipam/ring/deed.js";
import { type Ownership, Ring, type Span } from "#ipam/ring/ring.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { Titles } from "#ipam/ring/titles.js";
import { encodeIpamMessage, type IpamMessage } from "#ipam/wire/ipam-message.js";
import { silentLog } from "#src/log.js";
import type { IpamNetwork, SimHost } from "#test/sim/ipam-network.js";
import { allocate, RANGE, startNetwork } from "./network.js";

/** A transfer of the address at an offset of the range. */
function transfer(ring: Ring, by: SimHost, to: string, offset: number, signer = by.signer): Span {
  const start = ring.range.start + BigInt(offset);
  const value: Ownership = {
    owner: to,
    epoch: 0,
    version: 5,
    pending: false,
    since: 0,
    cause: "donation",
    from: by.name,
  };
  const span = { start, end: start + 1n };
  return { ...span, value: sign(signer, by.name, ring.id, span, value) };
}

/** The check of what other peers send, at a host, with a ring of its own. */
function deedsAt(network: IpamNetwork, host: SimHost): { deeds: Deeds; rejections: RejectedMessages; ring: Ring } {
  const rejections = new RejectedMessages();
  const { signer, name: self } = host;
  const living = { mayTakeOver: () => false } as never;
  const deeds = new Deeds({ self, signer, clock: network.clock, peers: network.peers(host), rejections, living });
  return { deeds, rejections, ring: Ring.first(parseSubnet("10.32.0.0/16"), { peers: [self], at: 0 }) };
}

test("of the offers of one signer that follow from nothing, 64 wait, each a minute, however often they are repeated", async () => {
  const network = startNetwork(2);
  const [host, thief] = network.hosts;
  const { deeds, rejections, ring } = deedsAt(network, host);
  const offers = Array.from({ length: 100 }, (_, i) => transfer(ring, thief, thief.name, i));
  assert.equal(deeds.advance(ring, offers, thief.name), ring);
  assert.equal(deeds.waiting.length, 64);
  await network.run(59_000);
  deeds.advance(ring, offers.slice(0, 64), thief.name);
  assert.equal(deeds.gaps(ring).get(thief.name)?.length, 64);
  await network.run(2_000);
  assert.equal(deeds.gaps(ring).size, 0);
  assert.deepEqual(rejections.all, [{ source: thief.name, reason: "no title", count: 64 }]);
});

test("500 signatures of a message are checked, valid ones or not", () => {
  const network = startNetwork(2);
  const [host, thief] = network.hosts;
  const { deeds, rejections, ring } = deedsAt(network, host);
  const forged = transfer(ring, host, thief.name, 1, thief.signer);
  const offers = Array.from({ length: 2_000 }, (): Span => ({ ...forged, value: { ...forged.value } }));
  deeds.advance(ring, offers, thief.name);
  assert.deepEqual(rejections.all, [{ source: thief.name, reason: "forged", count: 500 }]);
});

test("signatures of proofs that addresses were given twice count with the others of their message", () => {
  const network = startNetwork(3);
  const [host, thief, other] = network.hosts;
  const { deeds, ring } = deedsAt(network, host);
  const forge = ({ value, ...span }: Span): Span => {
    return { ...span, value: { ...value, deed: { ...value.deed!, signature: new Uint8Array(64) } } };
  };
  const known = [transfer(ring, thief, host.name, 1)];
  const proofs = Array.from({ length: 20 }, () => forge(transfer(ring, thief, other.name, 1)));
  for (const [offers, expected] of [
    [0, 16],
    [495, 5],
  ]) {
    const others = Array.from({ length: offers }, () => forge(transfer(ring, thief, thief.name, 2)));
    const fresh = proofs.map(forge);
    deeds.advance(ring, others, thief.name);
    const before = host.signer.verified;
    assert.deepEqual(deeds.contradictions(ring, known, fresh, thief.name), []);
    // One that is known to be forged costs nothing.
    deeds.contradictions(ring, known, fresh, thief.name);
    assert.equal(host.signer.verified - before, expected);
  }
});

test("agreements and stands that are forged again and again in a message cost few checks", async () => {
  const network = startNetwork(3);
  const [host, other, thief] = network.hosts;
  await allocate(network, host, "c");
  const checked = (message: IpamMessage): number => {
    const before = host.signer.verified;
    host.allocator!.gossiper.onUnicast(thief.name, encodeIpamMessage(RANGE, message), thief.name);
    return host.signer.verified - before;
  };
  const forged = Array.from({ length: 400 }, () => [other.name, new Uint8Array(64)] as const);
  const consents = Array.from({ length: 16 }, (_, since) => {
    return { owner: thief.name, from: host.name, since, agreed: forged };
  });
  const { id } = host.allocator!.ring!;
  assert.equal(checked({ kind: "news", ring: id, spans: [], consents }), 500);
  const genesis = { peers: [thief.name], at: 7 };
  const { spans } = Ring.first(parseSubnet(RANGE), genesis);
  assert.equal(checked({ kind: "ring", genesis, spans, ask: false, stands: forged }), 1);
});

test("others divide a ring of 32,768 spans no further", () => {
  const network = startNetwork(2);
  const [host, giver] = network.hosts;
  const { deeds, ring } = deedsAt(network, host);
  const { range, genesis } = ring;
  const values = [host, giver].map(({ name }) => ({ ...ring.spans[0].value, owner: name }));
  const size = (range.end - range.start) / 32_766n;
  const spans = Array.from({ length: 32_766 }, (_, i): Span => {
    const start = range.start + BigInt(i) * size;
    return { start, end: i === 32_765 ? range.end : start + size, value: values[i % 2] };
  });
  const divided = Ring.whole(range, genesis, spans)!;
  assert.equal(divided.spans.length, 32_766);
  const first = deeds.advance(divided, [transfer(ring, giver, host.name, 3)], giver.name);
  assert.notEqual(first, divided);
  assert.equal(deeds.advance(first, [transfer(ring, giver, "fe:00:00:00:00:01", 7)], giver.name), first);
});

test("the deeds of one peer take 8 MB at most, those of all peers 64 MB", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const titles = new Titles();
  const heap = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = heap();
  const fill = (by: string) => {
    for (let i = 0; i < 8_300; i++) {
      const [start, end] = [BigInt(2 * i), BigInt(2 * i + 1)];
      const deed = { start, end, by, identity: "00".repeat(32), signature: new Uint8Array(64) };
      const owner = `fe:00:00:00:${i >> 8}:${i & 255}`;
      titles.add({
        start,
        end,
        value: { owner, epoch: 0, version: 1, pending: false, since: 0, cause: "donation", from: by, deed },
      });
    }
  };
  fill("02:00:00:00:00:01");
  assert.equal(titles.size, 8_192);
  assert.ok(heap() - before < 8 << 20, `${heap() - before} bytes`);
  for (let i = 2; i < 12; i++) fill(`02:00:00:00:00:0${i.toString(16)}`);
  assert.equal(titles.size, 65_536);
  assert.ok(heap() - before < 64 << 20, `${heap() - before} bytes`);
});

test("a peer with another range blocks this one only if its identity is known, and its ring signed", () => {
  const network = startNetwork(2);
  const [host, other] = network.hosts;
  const range = parseSubnet(RANGE);
  const ranges = new OtherRanges({ range, peers: network.peers(host), log: silentLog, members: () => 1 });
  const ring = { peers: 9, at: 1, digest: "d", id: "i" };
  ranges.note("fe:00:00:00:00:01", "10.32.0.0/16", ring, false);
  assert.deepEqual(ranges.status(undefined), []);
  ranges.note(other.name, "10.32.0.0/16", ring, false);
  assert.equal(ranges.status(undefined).length, 1);
  ranges.check(undefined);
  ranges.note(other.name, "10.32.0.0/16", ring, true);
  assert.throws(() => ranges.check(undefined), { code: "WEAVE_IPAM_RANGE" });
});

test("what a message is rejected for counts at the neighbour that sent it, whatever name it has", async () => {
  const network = startNetwork(3);
  const [a, b, thief] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  const { ring } = a.allocator!;
  const span = ring!.ownedBy(b.name)[0];
  const value: Ownership = { ...span.value, owner: thief.name, version: 3, cause: "donation", from: b.name };
  const forged = { ...span, value: sign(thief.signer, b.name, ring!.id, span, value) };
  const bytes = encodeIpamMessage(RANGE, { kind: "news", ring: ring!.id, spans: [forged], consents: [] });
  a.allocator!.gossiper.onGossip(b.name, bytes, thief.name);
  assert.deepEqual(a.allocator!.rejections.all, [{ source: thief.name, reason: "forged", count: 1 }]);
  assert.equal(a.allocator!.rejections.total, 1);
});
