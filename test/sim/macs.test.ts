import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerName } from "#mesh/peer.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { Forwarding } from "#router/macs/forwarding.js";
import { MacAnnouncements } from "#router/macs/mac-announcements.js";
import { MAX_SEQ } from "#router/macs/mac-record.js";
import { Macs } from "#router/macs/macs.js";
import { silentLog } from "#src/log.js";
import { GossipNetwork, SimNode, type Weather } from "./gossip-network.js";

const MAC = "02:cc:00:00:00:01";
/** A container sends: its host's bridge learns the MAC again if it has forgotten it. */
const SENDS_MS = 2_000;

/** A host; the last one means harm, and has no `macs`. */
class MacHost extends SimNode {
  macs: Macs | undefined;
  forged: MacAnnouncements | undefined;
  incarnation = 0;
  hasContainer = false;
  /** Whether its bridge knows that the container is here. */
  learned = false;
}

class MacNetwork extends GossipNetwork<MacHost> {
  constructor(seed: number, weather: Weather, count: number) {
    super(seed, weather);
    for (let i = 0; i < count; i++) this.hosts.push(new MacHost(i));
  }

  start(host: MacHost, means: "well" | "harm"): void {
    const life = ++host.life;
    const common = {
      self: host.name,
      incarnation: ++host.incarnation,
      // No container has the name of a peer for its MAC.
      peers: {
        ...this.peers(host),
        nickname: (peer: PeerName) => (this.hosts.some(({ name }) => name === peer) ? peer : undefined),
      },
      replicas: new Replicas(host.signer),
      log: silentLog,
      time: () => this.clock.wall(),
      clock: {
        now: () => this.clock.now(),
        wall: () => this.clock.wall(),
        after: (ms: number, run: () => void) =>
          this.clock.after(ms, () => host.life === life && this.guarded(host, run)),
      },
    };
    host.learned = false;
    if (means === "harm") {
      host.forged = new MacAnnouncements({ ...common, onChange: () => {} });
      host.gossiper = host.forged.gossiper;
      host.forged.open(this.channel(host));
    } else {
      const forget = () => {
        host.learned = false;
      };
      const forwarding = new Forwarding(silentLog);
      host.macs = new Macs({ ...common, forwarding, datapath: { send() {} }, bridge: { forget } });
      host.gossiper = host.macs.gossiper;
      host.macs.open(this.channel(host));
      this.#send(host, life);
    }
    this.began(host);
  }

  override kill(host: MacHost): void {
    host.macs?.stop();
    super.kill(host);
  }

  #send(host: MacHost, life: number): void {
    this.clock.after(1 + this.random.below(SENDS_MS), () => {
      if (host.life !== life) return;
      if (host.hasContainer && !host.learned) {
        host.learned = true;
        host.macs!.learned(MAC);
      }
      this.#send(host, life);
    });
  }
}

/**
 * One host has a container, and a member announces its MAC with numbers that no move has led to, in any order, while other hosts start.
 *
 * @param owned how often the MAC has moved before, so that its number is not zero
 */
async function runAttack(seed: number, owned: number): Promise<void> {
  const network = new MacNetwork(seed, { lost: 50, doubled: 50, delay: 200 }, 6);
  // As often as the mesh repairs.
  network.repairMs = 30_000;
  const { random, hosts } = network;
  const [owner, former] = hosts;
  const harm = hosts.at(-1)!;
  for (const host of hosts) if (host !== hosts[2]) network.start(host, host === harm ? "harm" : "well");
  owner.hasContainer = true;
  await network.run(1_000);
  for (let move = 0; move < owned; move++) {
    const [from, to] = move % 2 === 0 ? [owner, former] : [former, owner];
    from.hasContainer = false;
    to.hasContainer = true;
    to.learned = false;
    await network.run(60_000);
  }
  const has = hosts.find(({ hasContainer }) => hasContainer)!;
  await network.run(60_000);
  // The last ones are between a number of the owner and the lower one that it takes to answer another.
  const numbers = [0, MAX_SEQ, MAX_SEQ - 1, 1_000, 100_000, owned + 5, owned + 50, 1, 2, 3, 5];
  for (let claim = 0; claim < 4; claim++) {
    const seq = numbers[random.below(numbers.length)];
    harm.forged!.update([{ mac: MAC, seq }], new Set());
    if (claim === 1) network.start(hosts[2], "well");
    if (claim === 2) {
      network.kill(hosts[3]);
      network.start(hosts[3], "well");
    }
    await network.run(random.below(40_000));
    if (random.below(2) === 0) harm.forged!.update([], new Set([MAC]));
    await network.run(random.below(10_000));
  }
  harm.forged!.update([{ mac: MAC, seq: numbers[random.below(numbers.length)] }], new Set());
  network.weather = { lost: 0, doubled: 0, delay: 5 };
  await network.run(60_000);
  assert.deepEqual(network.errors, [], `seed ${seed}`);
  for (const { macs, name } of hosts)
    if (macs !== undefined) {
      const named = macs.report.frozen.some(({ mac }) => mac === MAC);
      assert.ok(
        macs.at(MAC) === has.name || named,
        `seed ${seed}: ${name} sends to ${macs.at(MAC)}, and names nothing`,
      );
    }
  assert.equal(has.macs!.at(MAC), has.name, `seed ${seed}: its own host`);
  // When the member ends, the owner has it at all hosts.
  network.kill(harm);
  for (const { macs } of hosts) macs?.forget(harm.name);
  await network.run(60_000);
  for (const { macs, name } of hosts)
    if (macs !== undefined)
      assert.deepEqual([macs.at(MAC), macs.report.frozen], [has.name, []], `seed ${seed}: ${name}`);
}

test("the host of a container keeps its MAC, or wins it back, whatever number a member announces, and at hosts that start then", async () => {
  for (let seed = 0; seed < 13; seed++) await runAttack(seed, seed % 3 === 0 ? 6 : 0);
});

test("two hosts that each had a MAC before they met keep it, and soon answer each other no more", async () => {
  for (let seed = 0; seed < 5; seed++) {
    const network = new MacNetwork(seed, { lost: 50, doubled: 50, delay: 200 }, 4);
    network.repairMs = 30_000;
    const { hosts } = network;
    network.partition((index) => index % 2);
    for (const host of hosts) network.start(host, "well");
    for (const host of hosts.slice(0, 2)) host.hasContainer = true;
    await network.run(10 * 60_000);
    network.heal();
    await network.run(5 * 60_000);
    const { messages } = network;
    await network.run(10 * 60_000);
    // The repair sends one message of each host in a quarter of a minute, and has an answer.
    assert.ok(network.messages - messages < 4 * 40 * 2, `seed ${seed}: ${network.messages - messages} messages`);
    for (const { macs } of hosts) assert.equal(macs!.report.frozen.length, 1, `seed ${seed}`);
  }
});
