import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Host } from "#test/lab/host.js";
import { inLab, type Lab } from "#test/lab/lab.js";
import { LastRelease, lastReleaseMissing } from "#test/lab/last-release.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

/** Hosts of this version and of the last release, which has protocol 1, side by side. */

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

/** `weave status connections` of the host shows the words. */
const shows = (host: Host, words: RegExp) =>
  until(`${host.name} shows ${words}`, async () => words.test(await host.ok("status", "connections")), 30_000);

suite("versions mixed", { skip }, () => {
  let old: LastRelease;
  before(() => {
    old = LastRelease.build();
  });
  after(() => old?.remove());

  const withLab = (name: string, count: number, run: (lab: Lab) => Promise<void>) =>
    test(name, { timeout: 300_000 }, () => inLab(count, run));

  withLab(
    "a host of the last release and one of this speak no common protocol: the new one shows that, whichever of them dials, and what to do; the old one as well when it is dialled",
    2,
    async ({ hosts }) => {
      const [h1, h2] = hosts;
      h1.weaveCommand = old.command;
      for (const host of hosts) await host.launch("--password", "secret");
      await h2.ok("connect", h1.address);
      await shows(h2, /protocol versions have nothing in common \(here: 2, .*there: 1\): upgrade the other host/);
      assert.match(h2.log(), /there: 1\): upgrade the other host/);
      await shows(h1, /protocol versions have nothing in common: upgrade the older end/);
      await h2.ok("forget", h1.address);
      await h1.ok("connect", h2.address);
      // A stranger gets no answer, so that this one has none to show.
      await shows(h2, /there: 1\): upgrade the other host, refused/);
      assert.match(
        (await h2.api("GET", "/metrics")).body,
        /^weave_connections_refused_total\{reason="protocol"\} [1-9]/m,
      );
    },
  );

  withLab(
    "a network is upgraded host by host: meanwhile it is in two parts, and after it no container, address or name is lost",
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
      for (const host of [h2, h1]) {
        host.weaveCommand = fresh;
        await host.ok("restart");
      }
      await whole(members.slice(0, 2));
      await shows(h2, /there: 1\): upgrade the other host/);
      h3.weaveCommand = fresh;
      await h3.ok("restart");
      await connected(h2, 2, 30_000);
      await whole(members);
      assert.equal((await h1.ok("expose")).trim(), exposed);
      for (const host of hosts) {
        const { address } = await host.attachAny("e");
        assert.ok(!members.some((member) => member.address === address));
      }
    },
  );
});
