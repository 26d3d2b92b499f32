import assert from "node:assert/strict";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

const MESH_PORT = "6783";

labTest(
  "a scan of a host with a password gets the same bytes for all that is wrong, none by UDP, and no product name or version",
  { hosts: 2, timeout: 300_000 },
  async ({ hosts: [h1, attacker] }) => {
    await h1.launch("--password", "a password that no scan knows");
    const { stdout } = await attacker.program("scan", h1.address, MESH_PORT);
    const { requests, frames, datagrams } = JSON.parse(stdout.split("\n").find((line) => line.startsWith("{"))!) as {
      requests: Record<string, string>;
      frames: Record<string, string>;
      datagrams: number;
    };
    assert.ok(Object.keys(requests).length > 20 && Object.keys(frames).length > 10);
    for (const [what, answer] of Object.entries(requests)) assert.equal(answer, "", what);
    const [first] = Object.values(frames);
    for (const [what, answer] of Object.entries(frames)) {
      assert.equal(answer, first, what);
      assert.match(answer, /^HTTP\/1\.1 101 .*\r\n\r\n$/s, what);
      assert.doesNotMatch(answer, /server|version|node|\d+\.\d+\.\d+/i, what);
    }
    assert.equal(datagrams, 0);
    // The reasons are here.
    const log = h1.log();
    for (const reason of ["the handshake is malformed", "the protocol versions have nothing in common"])
      assert.ok(log.includes(reason), reason);
  },
);

labTest(
  "a host that tries passwords is slowed and named in status, log and metrics; with the right one it gets in",
  { hosts: 2, timeout: 300_000 },
  async ({ hosts: [h1, h2] }) => {
    const weak = await h1.weave("launch", "--name", h1.peerName, "--nickname", "h1", "--password", "sunshine");
    assert.match(weak.stderr, /^WARNING: the password is weak: about \d+ bits/m);
    assert.match(await h1.ok("status"), /^ +Password: weak: about \d+ bits/m);
    await h2.launch("--password", "wrong", h1.address);
    await until("it is counted", async () =>
      new RegExp(`^ WrongPasswords: \\d+ from ${h2.address.replaceAll(".", "\\.")} since 20`, "m").test(
        await h1.ok("status"),
      ),
    );
    assert.ok(h1.log().includes("a wrong password"));
    assert.match((await h1.api("GET", "/metrics")).body, /^weave_wrong_passwords_total [1-9]/m);
    await h2.ok("stop");
    await h2.launch("--password", "sunshine", h1.address);
    await connected(h2, 1, 90_000);
    assert.doesNotMatch(await h1.ok("status"), /WrongPasswords/);
  },
);
