import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Host } from "#test/lab/host.js";
import { Traffic } from "#test/lab/interruption.js";
import { inLab, type Lab } from "#test/lab/lab.js";
import { LastRelease, lastReleaseMissing } from "#test/lab/last-release.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

/** Peers of this version and of the last release in one network. */

const skip = hostTestsImpossible() ?? lastReleaseMissing() ?? false;

interface Member {
  readonly host: Host;
  readonly container: Namespace;
  readonly address: string;
}

/** A container of the host with an address of IPAM and a name, `on-h1`. */
async function join(host: Host, label = "c"): Promise<Member> {
  const container = await host.container(label);
  const name = `on-${host.name}`;
  const address = (await host.ok("attach", "net:default", "--name", name, `netns:${container.ns}`)).trim();
  return { host, container, address };
}

/** Every container reaches every other one, and every host knows all names. */
async function whole(members: readonly Member[]): Promise<void> {
  for (const from of members)
    for (const to of members) {
      const found = async () => (await from.host.ok("dns-lookup", `on-${to.host.name}`)).trim() === to.address;
      await until(`${from.host.name} knows the name of ${to.host.name}`, found, 30_000);
      const reached = async () => (await from.container.ping(to.address, { count: 1 })) === 1;
      if (from !== to) await until(`${from.host.name} reaches ${to.host.name}`, reached, 30_000);
    }
}

suite("versions mixed", { skip }, () => {
  let old: LastRelease;
  before(() => {
    old = LastRelease.build();
  });
  after(() => old?.remove());

  const withLab = (name: string, count: number, run: (lab: Lab) => Promise<void>) =>
    test(name, { timeout: 300_000 }, () => inLab(count, run));

  withLab(
    "old and new peers, each dialled by both, share sessions, frames, addresses and names; each takes over the addresses of a dead one of the other",
    4,
    async ({ hosts }) => {
      const [h1, h2, h3, h4] = hosts;
      for (const host of [h1, h3]) host.weaveCommand = old.command;
      await h1.launch("--password", "secret");
      await h2.launch("--password", "secret", h1.address);
      await h3.launch("--password", "secret", h2.address);
      await h4.launch("--password", "secret", h2.address, h1.address);
      for (const host of hosts) await connected(host, 3, 30_000);
      for (const host of hosts) await host.ok("prime");
      const members: Member[] = [];
      for (const host of hosts) members.push(await join(host));
      assert.equal(new Set(members.map(({ address }) => address)).size, 4);
      await whole(members);
      const connections = await h2.ok("status", "connections");
      assert.match(connections, /\(h1\) .*version=unknown/);
      assert.doesNotMatch(connections, /\(h4\) .*version=/);
      for (const host of hosts) {
        assert.doesNotMatch(host.log(), /a message was rejected/, `${host.name} rejects messages`);
        assert.equal(await host.report("{{.Router.QuarantinedMessages}}"), "0");
      }
      for (const [dead, heir] of [
        [h3, h2],
        [h4, h1],
      ] as const) {
        await dead.ok("stop");
        const away = async () => (await heir.report("{{json .Router.SuspendedPeers}}")).includes(dead.peerName);
        await until(`${dead.name} is unreachable`, away, 30_000);
        assert.match(await heir.ok("rmpeer", dead.name), /^[1-9]\d* IPs taken over from /);
      }
      const [next1, next2] = [await h1.attachAny("d"), await h2.attachAny("d")];
      assert.equal(new Set([...members.map(({ address }) => address), next1.address, next2.address]).size, 6);
    },
  );

  withLab(
    "a network is upgraded host by host under traffic, and one host goes back: no TCP connection, address or name is lost",
    3,
    async ({ hosts }) => {
      const [h1, h2, h3] = hosts;
      const fresh = h1.weaveCommand;
      for (const host of hosts) host.weaveCommand = old.command;
      for (const host of hosts) await host.launch("--no-discovery", "--password", "secret");
      for (const host of [h1, h3]) await host.ok("connect", h2.address);
      await connected(h2, 2, 30_000);
      for (const host of hosts) await host.ok("prime");
      const members: Member[] = [];
      for (const host of hosts) members.push(await join(host));
      const exposed = (await h1.ok("expose")).trim();
      await whole(members);
      const [first, , last] = members;
      const traffic = await Traffic.start(last.container, first.container, first.address);
      try {
        for (const host of [h2, h1, h3]) {
          host.weaveCommand = fresh;
          await host.ok("restart");
          await connected(h2, 2, 30_000);
          await whole(members);
          assert.match(await host.ok("version"), /./);
        }
        // Back to the last release, which has no restart.
        await h3.ok("stop");
        h3.weaveCommand = old.command;
        await h3.launch("--resume", "--no-discovery", "--password", "secret");
        await connected(h2, 2, 30_000);
        await whole(members);
        assert.equal((await traffic.end()).connections, 1, "the TCP connection was lost");
      } finally {
        traffic.kill();
      }
      assert.equal((await h1.ok("expose")).trim(), exposed);
      for (const host of hosts) {
        const { address } = await host.attachAny("e");
        assert.ok(!members.some((member) => member.address === address));
      }
    },
  );
});
