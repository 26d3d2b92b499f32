import assert from "node:assert/strict";
import { test } from "node:test";
import { Nameserver } from "#dns/nameserver.js";
import type { PeerName } from "#mesh/peer.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { GossipNetwork, SimNode, type Weather } from "./gossip-network.js";

/** A host with its name server, and the names that it must have: hostname to addresses and containers. */
class DnsHost extends SimNode {
  names: Nameserver | undefined;
  disk = new Map<string, unknown>();
  truth = new Map<string, { ident: string; address: string }>();
  incarnation = 0;
  readonly forgetAt = new Map<PeerName, { cancel(): void }>();
}

const FORGET_MS = 15 * 60_000;
const DOMAIN = "weave.local.";

class DnsNetwork extends GossipNetwork<DnsHost> {
  constructor(seed: number, weather: Weather, count: number) {
    super(seed, weather);
    for (let i = 0; i < count; i++) this.hosts.push(new DnsHost(i));
  }

  start(host: DnsHost): void {
    const life = ++host.life;
    const names = new Nameserver({
      self: host.name,
      incarnation: ++host.incarnation,
      domain: DOMAIN,
      clock: {
        now: () => this.clock.now(),
        // The hosts' clocks differ by hours: nothing may depend on them.
        wall: () => this.clock.wall() + host.index * 3_600_000,
        after: (ms, run) => this.clock.after(ms, () => host.life === life && this.guarded(host, run)),
      },
      random: this.random,
      log: silentLog,
      store: memoryStore(host.disk),
      prefix: "names/",
      peers: this.peers(host),
      replicas: new Replicas(host.signer),
    });
    host.names = names;
    host.gossiper = names.gossiper;
    // As the router does: names of containers that have ended meanwhile are removed.
    for (const ident of names.ownIdents)
      if (![...host.truth.values()].some((each) => each.ident === ident)) names.remove({ ident });
    names.open(this.channel(host));
    this.began(host);
  }

  override kill(host: DnsHost): void {
    host.names = undefined;
    for (const timer of host.forgetAt.values()) timer.cancel();
    host.forgetAt.clear();
    super.kill(host);
  }

  protected override viewChanged(host: DnsHost, before: ReadonlySet<PeerName>): void {
    for (const peer of before) {
      if (host.view.has(peer)) continue;
      host.forgetAt.set(
        peer,
        this.clock.after(FORGET_MS, () => host.names?.forget(peer)),
      );
    }
    for (const peer of host.view) host.forgetAt.get(peer)?.cancel();
  }
}

/** The expected result of a lookup after all faults: every address that a running host gives the name. */
function expected(network: DnsNetwork, name: string): string[] {
  const found = new Set<string>();
  for (const { truth, names } of network.hosts)
    if (names !== undefined) for (const [key, { address }] of truth) if (key.split(" ")[0] === name) found.add(address);
  return [...found].sort();
}

async function runSchedule(seed: number, count: number): Promise<{ rounds: number; lookups: number }> {
  const network = new DnsNetwork(seed, { lost: 100, doubled: 80, delay: 300 }, count);
  network.noticeMs = 3_000;
  // As often as the mesh repairs.
  network.repairMs = 30_000;
  const { random, hosts } = network;
  for (const host of hosts) network.start(host);
  let containers = 0;
  for (let step = 0; step < 120; step++) {
    const host = hosts[random.below(count)];
    const point = random.below(100);
    const { names, truth } = host;
    if (point < 50 && names !== undefined) {
      const ident = `c${containers++}`;
      const hostname = `app${random.below(20)}.${DOMAIN}`;
      const address = `10.32.${host.index}.${random.below(250)}`;
      names.add(ident, address, hostname);
      truth.set(`${hostname} ${ident}`, { ident, address });
    } else if (point < 70 && truth.size > 0) {
      const keys = [...truth.keys()];
      const key = keys[random.below(keys.length)];
      names?.remove({ ident: truth.get(key)!.ident });
      truth.delete(key);
    } else if (point < 78 && names !== undefined) network.kill(host);
    else if (point < 88 && names === undefined) network.start(host);
    else if (point < 93) network.partition(() => random.below(2));
    else if (point < 97) network.heal();
    else await network.run(40 * 60_000);
    await network.run(random.below(4_000));
  }
  for (const host of hosts) if (host.names === undefined) network.start(host);
  network.heal();
  network.weather = { lost: 0, doubled: 0, delay: 5 };
  network.noticeMs = 0;
  network.heal(true);
  // Rounds of repair until all are equal.
  let rounds = 0;
  const digests = () => new Set(hosts.map(({ names }) => names!.digest)).size;
  await network.run(10);
  while (digests() > 1) {
    rounds++;
    assert.ok(rounds < 20, `seed ${seed}: the stores differ after ${rounds} rounds`);
    await network.run(network.repairMs);
  }
  assert.deepEqual(network.errors, [], `seed ${seed}`);
  let lookups = 0;
  for (const { names } of hosts) {
    for (let i = 0; i < 20; i++) {
      const name = `app${i}.${DOMAIN}`;
      const wanted = expected(network, name);
      assert.deepEqual((names!.lookup(name.toUpperCase()) ?? []).sort(), wanted, `seed ${seed}: ${name}`);
      lookups++;
    }
  }
  return { rounds, lookups };
}

test("20 schedules of 3 to 12 peers with every fault: replicas become equal, and lookups are right", async () => {
  let most = 0;
  for (let seed = 0; seed < 20; seed++) most = Math.max(most, (await runSchedule(seed, 3 + (seed % 10))).rounds);
  assert.ok(most <= 4, `it took ${most} rounds of repair`);
});

test("60 peers with every fault: replicas become equal within four rounds of repair", async () => {
  const { rounds, lookups } = await runSchedule(1_000, 60);
  assert.ok(rounds <= 4, `it took ${rounds} rounds`);
  assert.equal(lookups, 1_200);
});

test("after a quick restart no stale record is left; addresses of unreachable peers are answered last", async () => {
  const network = new DnsNetwork(1, { lost: 0, doubled: 0, delay: 2 }, 3);
  const [a, b, c] = network.hosts;
  for (const host of network.hosts) network.start(host);
  a.names!.add("x", "10.32.0.1", "web.weave.local");
  a.names!.add("y", "10.32.0.2", "old.weave.local");
  b.names!.add("z", "10.32.1.1", "Web.weave.local");
  await network.run(1_000);
  assert.deepEqual(c.names!.lookup("web.weave.local.")!.sort(), ["10.32.0.1", "10.32.1.1"]);
  // x ends while its router is down; y has never been stored, as on a lost disk.
  network.kill(a);
  await network.run(10);
  assert.deepEqual(c.names!.lookup("web.weave.local."), ["10.32.1.1"]);
  assert.deepEqual(c.names!.lookup("old.weave.local."), ["10.32.0.2"]);
  a.disk.clear();
  network.start(a);
  await network.run(1_000);
  assert.equal(c.names!.lookup("old.weave.local."), undefined);
  assert.equal(c.names!.size, 1);
});
