import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerName } from "#mesh/peer.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import { OWN_HOLD_MS, PEER_SHARE } from "#router/datapath/mac-table.js";
import type { Command } from "#router/datapath/protocol.js";
import { type EntryTable, Forwarding, type TunnelEntry } from "#router/macs/forwarding.js";
import { MacPlaces } from "#router/macs/mac-places.js";
import { Macs } from "#router/macs/macs.js";
import { silentLog } from "#src/log.js";
import { type MacText, macFromNumber } from "#src/mac.js";
import { newsOf } from "#test/sim/gossip-network.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const NAMES = [1, 2, 3].map((index) => `02:00:00:00:00:0${index}`);
const SIGNERS = new Map<PeerName, Signer>(NAMES.map((name, i) => [name, makeSigner(seededRandom(i + 1).bytes(32))]));
const MAC = "02:cc:00:00:00:01";

/** The kernel's tables of a host: entries of other hosts' MACs. */
class Kernel implements EntryTable {
  readonly present = new Map<MacText, TunnelEntry>();

  async set(entries: readonly TunnelEntry[]) {
    for (const entry of entries) this.present.set(entry.mac, entry);
    return [];
  }

  async remove(macs: readonly MacText[]) {
    for (const mac of macs) this.present.delete(mac);
    return [];
  }

  entries = async () => new Map(this.present);
  reconcile = async () => ({ added: 0, removed: 0, failures: [] });
}

/** Three hosts whose gossip arrives at once. Each has a path to each other one, at an address that ends like its name. */
class Hosts {
  readonly clock = new VirtualClock();
  /** Names of all peers. */
  readonly known = [...NAMES];
  /** Names whose identity is pinned since an earlier start. */
  readonly pinned = [...NAMES];
  /** Hosts that announce any MAC: they mean harm. */
  readonly hostile = new Set<PeerName>();
  readonly hosts = NAMES.map((name) => this.#make(name));

  constructor() {
    for (const { self, macs } of this.hosts)
      macs.open({
        unicast: (to, payload) => {
          this.hosts.find((each) => each.self === to)!.macs.gossiper.onUnicast(self, payload, self);
          return true;
        },
        broadcast() {},
        gossip: (payload) => {
          for (const other of this.hosts)
            if (other.self !== self) newsOf(other.macs.gossiper.onGossip(self, payload, self));
        },
      });
  }

  #make(self: PeerName) {
    const kernel = new Kernel();
    const forwarding = new Forwarding(silentLog);
    forwarding.use(kernel);
    for (const peer of NAMES)
      if (peer !== self)
        void forwarding.setPath(peer, {
          tunnel: "clear",
          host: `10.0.0.${peer.at(-1)}`,
          port: undefined,
          carries: true,
        });
    const commands: Command[] = [];
    const forgotten: MacText[] = [];
    const identity = (peer: PeerName) => SIGNERS.get(peer)?.identity;
    const macs = new Macs({
      self,
      incarnation: 1,
      clock: this.clock,
      log: silentLog,
      replicas: new Replicas(SIGNERS.get(self)!),
      peers: {
        reachable: () => new Set(this.known.filter((name) => name !== self)),
        nickname: (peer) => (this.known.includes(peer) && !this.hostile.has(self) ? `h${peer.at(-1)}` : undefined),
        identity,
        pinnedIdentity: (peer) => (this.pinned.includes(peer) && !this.hostile.has(self) ? identity(peer) : undefined),
      },
      time: () => this.clock.wall(),
      forwarding,
      datapath: { send: (command) => void commands.push(command) },
      bridge: { forget: (mac) => void forgotten.push(mac) },
    });
    return { self, macs, kernel, commands, forgotten, host: (mac: MacText) => kernel.present.get(mac)?.host };
  }

  /** Lets announcements travel. */
  settle = () => this.clock.run(200);
}

test("a MAC that a bridge learns is sent to its host by all others, and to none when its port is gone", async () => {
  const { hosts, settle } = new Hosts();
  const [a, b, c] = hosts;
  a.macs.learned(MAC);
  await settle();
  assert.deepEqual([a.host(MAC), b.host(MAC), c.host(MAC)], [undefined, "10.0.0.1", "10.0.0.1"]);
  assert.deepEqual(b.commands.at(-1), { do: "learn", mac: 0x02cc00000001, peer: 0x020000000001 });
  a.macs.removed(MAC);
  await settle();
  assert.deepEqual([b.host(MAC), c.host(MAC)], [undefined, undefined]);
});

test("a MAC that moves is followed, whether its former host has seen it leave or not", async () => {
  const { hosts, settle, clock } = new Hosts();
  const [a, b, c] = hosts;
  a.macs.learned(MAC);
  await settle();
  b.macs.learned(MAC);
  await settle();
  assert.deepEqual([a.host(MAC), b.host(MAC), c.host(MAC)], ["10.0.0.2", undefined, "10.0.0.2"]);
  // A frame of it at the former host would be learned again; the threads may learn it from others.
  assert.deepEqual(a.forgotten, [MAC]);
  assert.ok(a.commands.some((command) => command.do === "release"));
  await clock.run(2 * OWN_HOLD_MS);
  // The former host has withdrawn it by now: no host has it when the new one ends it.
  b.macs.removed(MAC);
  await settle();
  assert.deepEqual([a.host(MAC), c.host(MAC)], [undefined, undefined]);
});

test("two hosts that both have a MAC freeze it at the one that had it longest, and each keeps its own", async () => {
  const { hosts, settle, clock } = new Hosts();
  const [a, b, c] = hosts;
  a.macs.learned(MAC);
  await clock.run(60_000);
  for (let round = 0; round < 5; round++)
    for (const host of [b, a]) {
      host.macs.learned(MAC);
      await settle();
    }
  for (const { macs } of hosts) assert.deepEqual(macs.report.frozen, [{ mac: MAC, at: NAMES[0], others: [NAMES[1]] }]);
  assert.deepEqual([a.host(MAC), b.host(MAC), c.host(MAC)], [undefined, undefined, "10.0.0.1"]);
  b.macs.removed(MAC);
  await settle();
  for (const { macs } of hosts) assert.deepEqual(macs.report.frozen, []);
  assert.equal(b.host(MAC), "10.0.0.1");
});

test("MACs of groups and of bridges, and that of no host, are refused, from the bridge and from other hosts", async () => {
  const { hosts, settle } = new Hosts();
  const [a, b] = hosts;
  for (const mac of ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", NAMES[0], NAMES[1]])
    a.macs.learned(mac);
  await settle();
  assert.deepEqual([a.macs.report.refused, a.macs.report.own, b.macs.report.known], [5, 0, 0]);
});

test("MACs for which a host has no room wait for it, and others are withdrawn meanwhile", async () => {
  const { hosts, settle, clock } = new Hosts();
  const [a, b] = hosts;
  a.macs.learned(MAC);
  await settle();
  assert.equal(b.host(MAC), "10.0.0.1");
  // Withdrawn records take room for half an hour.
  let next = 0x02dd00000000;
  let present: MacText[] = [];
  for (let round = 0; round < 40 && a.macs.report.unannounced === 0; round++) {
    for (const mac of present) a.macs.removed(mac);
    await settle();
    present = Array.from({ length: 500 }, () => macFromNumber(next++));
    for (const mac of present) a.macs.learned(mac);
    await settle();
  }
  const { unannounced } = a.macs.report;
  assert.ok(unannounced > 0 && unannounced <= present.length, `${unannounced} wait`);
  assert.ok(b.macs.report.known >= 1 + present.length - unannounced);
  // The first change goes at once; the next ones are one batch, of a removal and more than fits.
  const more = Array.from({ length: 500 }, () => macFromNumber(next++));
  present.push(...more);
  a.macs.learned(more[0]);
  a.macs.removed(MAC);
  for (const mac of more) a.macs.learned(mac);
  await settle();
  assert.equal(b.host(MAC), undefined);
  await clock.run(40 * 60_000);
  assert.deepEqual([a.macs.report.unannounced, b.macs.report.known], [0, present.length]);
  for (const mac of present) assert.equal(b.host(mac), "10.0.0.1");
});

test("many frozen MACs in one message are listed for none of them", async (t) => {
  const { hosts, settle, clock } = new Hosts();
  const [a, b] = hosts;
  const macs = Array.from({ length: 100 }, (_, index) => macFromNumber(0x02dd00000000 + index));
  for (const mac of macs) a.macs.learned(mac);
  await clock.run(60_000);
  const lists = t.mock.getter(MacPlaces.prototype, "frozen");
  const texts = t.mock.method(MacPlaces.prototype, "frozenAt");
  for (let round = 0; round < 3; round++)
    for (const host of [b, a]) {
      for (const mac of macs) host.macs.learned(mac);
      await settle();
    }
  for (const { macs: each } of hosts) assert.equal(each.sizes.frozen, macs.length);
  // The log has one of them at each host.
  assert.deepEqual([lists.mock.callCount(), texts.mock.callCount()], [0, hosts.length]);
});

test("a host announces no more than its share of MACs, and counts the rest", async () => {
  const { hosts, settle } = new Hosts();
  const [a, b] = hosts;
  for (let i = 0; i < PEER_SHARE + 100; i++) a.macs.learned(macFromNumber(0x02dd00000000 + i));
  await settle();
  const { own, unannounced } = a.macs.report;
  assert.deepEqual([own, unannounced, b.macs.report.known], [PEER_SHARE, 100, PEER_SHARE]);
});

test("a member whose name is the MAC of a container takes nothing from it on the host of the container", async () => {
  const all = new Hosts();
  const [a, b] = all.hosts;
  a.macs.learned(MAC);
  await all.settle();
  all.known.push(MAC);
  for (const { macs } of all.hosts) macs.routesChanged();
  a.macs.learned(MAC);
  await all.settle();
  assert.deepEqual([a.macs.at(MAC), a.macs.report.own, a.host(MAC)], [NAMES[0], 1, undefined]);
  // Nor does an announcement of it.
  all.hostile.add(NAMES[2]);
  all.hosts[2].macs.learned(MAC);
  await all.settle();
  assert.deepEqual([a.macs.at(MAC), a.host(MAC), a.macs.report.refused], [NAMES[0], undefined, 1]);
  assert.equal(b.host(NAMES[0]), "10.0.0.1");
  a.macs.removed(MAC);
  await all.settle();
  a.macs.learned(MAC);
  assert.equal(a.macs.report.refused, 2);
});

test("a host that starts gives the MAC of a bridge to no other peer: its name is pinned before the peer is known", async () => {
  const all = new Hosts();
  const [a, , c] = all.hosts;
  all.hostile.add(NAMES[2]);
  all.known.length = 0;
  c.macs.learned(NAMES[1]);
  await all.settle();
  assert.deepEqual([a.macs.at(NAMES[1]), a.host(NAMES[1]), a.macs.report.refused], [undefined, undefined, 1]);
});

test("a peer that becomes known has the MAC of its bridge, and what another announced of it before is withdrawn", async () => {
  const all = new Hosts();
  const [a, , c] = all.hosts;
  all.hostile.add(NAMES[2]);
  all.known.length = all.pinned.length = 0;
  c.macs.learned(NAMES[1]);
  await all.settle();
  assert.equal(a.host(NAMES[1]), "10.0.0.3");
  all.known.push(...NAMES);
  a.macs.routesChanged();
  await all.settle();
  assert.deepEqual([a.macs.at(NAMES[1]), a.host(NAMES[1]), a.macs.report.refused], [undefined, "10.0.0.2", 1]);
  assert.deepEqual(a.commands.at(-1), { do: "learn", mac: 0x020000000002, peer: 0x020000000002 });
  // Its next announcement is refused too.
  c.macs.removed(NAMES[1]);
  c.macs.learned(NAMES[1]);
  await all.settle();
  assert.deepEqual([a.macs.at(NAMES[1]), a.host(NAMES[1])], [undefined, "10.0.0.2"]);
});
