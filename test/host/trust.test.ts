import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { IdentityReport, TrustReport } from "#router/peers/trust-report.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

const identity = async (host: Host) => JSON.parse(await host.ok("identity", "--json")) as IdentityReport;
const trust = async (host: Host) => JSON.parse(await host.ok("trust", "--json")) as TrustReport;
const pinOf = async (host: Host, of: Host) => (await trust(host)).Pins.find(({ Name }) => Name === of.peerName);
const conflict = (host: Host) => host.report("{{range .Router.NameConflicts}}{{.}}\n{{end}}");

/** Launches all hosts as one network in which each has a session with each. */
async function joined(hosts: readonly Host[]): Promise<void> {
  const [first, ...others] = hosts;
  await first.launch();
  await Promise.all(others.map((host) => host.launch(first.address)));
  for (const host of hosts) await connected(host, hosts.length - 1, 60_000);
}

labTest(
  "a reinstalled host is refused and named on all peers while its owner is away; forgotten by each, it gets in",
  { hosts: 4, timeout: 600_000 },
  async ({ hosts }) => {
    const [h1, h2, h3, h4] = hosts;
    const others = [h1, h2, h3];
    await joined(hosts);
    const { Fingerprint: fingerprint, Password } = await identity(h4);
    assert.match(fingerprint, /^([0-9A-Z]{4}-){5}[0-9A-Z]{4}$/);
    assert.equal(Password, false);
    assert.match(await h4.ok("identity"), new RegExp(`^ {4}Fingerprint: ${fingerprint}$`, "m"));
    assert.match(await h4.ok("status"), new RegExp(`^ {4}Fingerprint: ${fingerprint}$`, "m"));
    for (const host of others) {
      const pin = await pinOf(host, h4);
      assert.deepEqual([pin?.Fingerprint, pin?.How, pin?.State], [fingerprint, "direct", "reachable"], host.name);
    }
    await h4.ok("stop");
    await until("it is away", async () => (await pinOf(h1, h4))?.State === "away");
    // As after the loss of the disk: no peer is notified.
    await h4.ok("reset", "--force");
    await h4.launch(h1.address);
    assert.notEqual((await identity(h4)).Fingerprint, fingerprint);
    const words = /has another identity .* than .*\(h4\).*, which is away: if h4 was reinstalled, 'weave trust forget/;
    for (const host of [...others, h4])
      await until(`${host.name} names it`, async () =>
        words.test((await conflict(host)) + (await host.ok("status", "connections"))),
      );
    for (const host of others) {
      assert.match(await conflict(host), words);
      assert.match(await host.ok("status"), /^ {3}NameConflict: .*which is away/m);
      assert.match(host.log(), /an identity was refused/);
      assert.match((await host.api("GET", "/metrics")).body, /^weave_peer_conflicts [1-9]/m);
      assert.equal((await pinOf(host, h4))?.State, "conflict");
      assert.equal((await pinOf(host, h4))?.Fingerprint, fingerprint);
    }
    assert.match(
      (await h1.api("GET", "/metrics")).body,
      /^weave_connections_refused_total\{reason="identity"\} [1-9]/m,
    );

    const unknown = await h1.weave("trust", "forget", "h9");
    assert.deepEqual(
      [unknown.code, unknown.stderr],
      [1, "no peer is called \"h9\"\n'weave trust' lists the peers that are known here.\n"],
    );
    assert.match((await h1.weave("trust", "forget", "h1")).stderr, /^"h1" is this peer itself\n/);
    for (const host of others) {
      assert.match(await host.ok("trust", "forget", "h4"), /\(h4\) is forgotten: the next peer/);
      assert.match(
        await host.ok("trust", "forget", h4.peerName),
        /is not pinned here|is reachable, and its name belongs to/,
      );
    }
    await h4.ok("connect", h1.address, h2.address, h3.address);
    for (const host of hosts) await connected(host, 3, 60_000);
    const { Fingerprint: later } = await identity(h4);
    for (const host of others) assert.equal((await pinOf(host, h4))?.Fingerprint, later);
    await h1.ok("stop");
    await h1.launch();
    assert.equal((await pinOf(h1, h4))?.Fingerprint, later, "pins survive a restart");
  },
);

labTest(
  "a host that was reset comes back under its name without an operator, also at a peer that was down meanwhile",
  { hosts: 4, timeout: 600_000 },
  async ({ hosts }) => {
    const [h1, h2, h3, h4] = hosts;
    await joined(hosts);
    const { Fingerprint: before } = await identity(h4);
    await h3.ok("stop");
    await h4.ok("reset");
    for (const host of [h1, h2]) await until("its pin is gone", async () => (await pinOf(host, h4)) === undefined);
    await h3.launch("--resume");
    assert.equal((await pinOf(h3, h4))?.Fingerprint, before, "it has missed the retirement");
    await h4.launch(h1.address, h2.address, h3.address);
    for (const host of hosts) await connected(host, 3, 120_000);
    const { Fingerprint: after } = await identity(h4);
    assert.notEqual(after, before);
    for (const host of [h1, h2, h3]) assert.equal((await pinOf(host, h4))?.Fingerprint, after, host.name);
    for (const host of hosts) assert.equal((await conflict(host)).trim(), "", host.name);
  },
);

labTest(
  "the copy of a host's database is refused at all peers, with the remedy; after a reset and with a name it gets in",
  { hosts: 4, timeout: 600_000 },
  async ({ hosts }) => {
    const [h1, h2, h3, copy] = hosts;
    await joined([h1, h2, h3]);
    await h2.ok("stop");
    cpSync(join(h2.folder, "state"), join(copy.folder, "state"), { recursive: true });
    await h2.launch("--resume");
    await connected(h2, 2, 30_000);
    await copy.ok("launch", "--name", h2.peerName, "--nickname", "copy", h1.address, h3.address);
    const words = /two machines have the identity of .*: the database of one is a copy; 'weave reset' on the copy/;
    for (const host of [h1, h3])
      await until(`${host.name} names it`, async () => words.test(await conflict(host)), 60_000);
    await until("so does one of the two", async () =>
      words.test((await copy.ok("status", "connections")) + (await h2.ok("status", "connections"))),
    );
    for (const host of [h1, h3]) assert.match(await host.ok("status"), /NameConflict: two machines/);
    const [{ code }] = [await copy.weave("stop"), await copy.weave("reset", "--force")];
    assert.equal(code, 0);
    await copy.launch(h1.address, h3.address);
    for (const host of hosts) await connected(host, 3, 120_000);
    assert.notEqual((await identity(copy)).Fingerprint, (await identity(h2)).Fingerprint);
  },
);
