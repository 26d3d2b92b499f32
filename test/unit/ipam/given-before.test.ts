import assert from "node:assert/strict";
import { test } from "node:test";
import type { Span } from "#ipam/ring/ring.js";
import { parseLease } from "#ipam/ring/subnet.js";
import { encodeIpamMessage } from "#ipam/wire/ipam-message.js";
import type { IpamNetwork, SimHost } from "#test/sim/ipam-network.js";
import { allocate, claim, RANGE, settle, startNetwork } from "./network.js";

/** Addresses of `c`, which it gives to `b` while `a` is away: one with a holder, and one without. */
const HELD = "10.32.0.200/24";
const FREE = "10.32.0.201/24";

/** Three peers, of which `c` has given two addresses to `b`, and has died; `a` and `d` do not know the transfer. */
async function giveUnseen(): Promise<{ network: IpamNetwork; hosts: SimHost[] }> {
  const network = startNetwork(4);
  const { hosts } = network;
  for (const host of hosts) await allocate(network, host, "first");
  const owner = hosts.find(({ name }) => name === ownerAt(hosts[0], HELD))!;
  assert.equal(ownerAt(hosts[0], FREE), owner.name);
  const [a, b, d] = hosts.filter((host) => host !== owner);
  network.partition((index) => (index === a.index || index === d.index ? 1 : 0));
  await network.run(1_000);
  await claim(network, b, "held", HELD);
  await claim(network, b, "free", FREE);
  b.allocator!.requests.freeAll("free");
  owner.containers.clear();
  network.kill(owner);
  return { network, hosts: [a, b, owner, d] };
}

const ownerAt = (host: SimHost, lease: string) => host.allocator!.ring!.at(parseLease(lease).address).value.owner;

function assertGiven({ hosts: [a, b, , d] }: { hosts: SimHost[] }): void {
  for (const host of [a, b, d]) {
    for (const lease of [HELD, FREE]) assert.equal(ownerAt(host, lease), b.name, `${lease} at ${host.name}`);
    assert.equal(host.allocator!.ring!.digest, a.allocator!.ring!.digest);
    assert.deepEqual(host.allocator!.contested, []);
  }
}

test("what a dead peer had given away is not taken over with the rest, although the remover did not know the transfer", async () => {
  const { network, hosts } = await giveUnseen();
  const [a, , c] = hosts;
  network.heal(true);
  await settle(network, a.allocator!.removePeer(c.name).agreed);
  // No address of it was allocated twice meanwhile.
  assert.equal(a.allocator!.space.owns(parseLease(FREE).address), false);
  assert.equal(a.allocator!.space.owns(parseLease(HELD).address), false);
  await network.run(20_000);
  assertGiven({ hosts });
  assert.equal(a.allocator!.ring!.ownedBy(c.name).length, 0);
});

for (const returns of [false, true]) {
  const when = returns ? "it returns" : "it never returns";
  test(`a takeover in another half gives back what the dead peer had given away before: ${when}`, async () => {
    const { network, hosts } = await giveUnseen();
    const [a, , c] = hosts;
    await settle(network, a.allocator!.removePeer(c.name).agreed);
    assert.equal(ownerAt(a, HELD), a.name);
    await network.run(5_000);
    network.heal();
    if (returns) network.start(c);
    await network.run(60_000);
    assertGiven({ hosts });
    if (returns) assert.equal(c.allocator!.ring!.digest, a.allocator!.ring!.digest);
  });
}

test("an address of such a transfer that is in use at both ends keeps both holders, and is named", async () => {
  const { network, hosts } = await giveUnseen();
  const [a, b, c] = hosts;
  await settle(network, a.allocator!.removePeer(c.name).agreed);
  await claim(network, a, "second", HELD);
  network.heal();
  await network.run(60_000);
  assert.equal(ownerAt(a, HELD), b.name);
  assert.deepEqual(
    a.allocator!.contested.map(({ address, ident }) => [`${address}/24`, ident]),
    [[HELD, "second"]],
  );
  assert.match(a.allocator!.contested[0].why, /is held by held at /);
  assert.deepEqual(b.allocator!.contested, []);
  assert.equal(a.allocator!.ring!.digest, b.allocator!.ring!.digest);
});

/** Shows to a peer, as from another one, the transfer by which `b` owns an address. */
function show(to: SimHost, from: SimHost, { ring, span }: { ring: string; span: Span }): void {
  const bytes = encodeIpamMessage(RANGE, { kind: "titles", ring, spans: [span], consents: [] });
  to.allocator!.gossiper.onUnicast(from.name, bytes, from.name);
}

function transferOf(b: SimHost) {
  const ring = b.allocator!.ring!;
  return { ring: ring.id, span: ring.at(parseLease(FREE).address) };
}

test("only the receiver's own word counts, and none about a transfer that it has ended", async () => {
  const { network, hosts } = await giveUnseen();
  const [a, b, c, d] = hosts;
  const transfer = transferOf(b);
  await settle(network, a.allocator!.removePeer(c.name).agreed);
  show(a, d, transfer);
  await network.run(3_000);
  assert.equal(ownerAt(a, FREE), a.name);
  show(a, b, transfer);
  await network.run(3_000);
  assert.equal(ownerAt(a, FREE), b.name);

  const other = await giveUnseen();
  const [e, f, g] = other.hosts;
  const old = transferOf(f);
  other.network.heal();
  other.network.start(g);
  await other.network.run(10_000);
  await claim(other.network, g, "back", FREE);
  await other.network.run(5_000);
  g.containers.clear();
  other.network.kill(g);
  await settle(other.network, e.allocator!.removePeer(g.name).agreed);
  show(e, f, old);
  await other.network.run(20_000);
  assert.equal(ownerAt(e, FREE), e.name);
  assert.equal(e.allocator!.ring!.digest, f.allocator!.ring!.digest);
});

test("the transfer of an excluded giver counts while the takeover is pending, and not after", async () => {
  for (const isPending of [true, false]) {
    const { network, hosts } = await giveUnseen();
    const [a, b, c] = hosts;
    network.excluded.add(c.name);
    if (isPending) network.heal(true);
    await settle(network, a.allocator!.removePeer(c.name).agreed);
    if (!isPending) show(a, b, transferOf(b));
    await network.run(5_000);
    assert.equal(ownerAt(a, FREE), isPending ? b.name : a.name);
  }
});
