import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

/** Changes of the password that take as long as deadlines: test/host/rekey.test.ts has the quick ones. */

/** Writes a host's password file. */
function file(host: Host, password: string): string {
  const path = join(host.folder, "password");
  writeFileSync(path, `${password}\n`, { mode: 0o600 });
  return path;
}

const status = (host: Host) => host.ok("rekey", "status");

labTest(
  "an open network gets a password, which survives a restart; a peer that was away gets in again only where the order allows that",
  { hosts: 3, timeout: 300_000 },
  async ({ hosts: [h1, h2, h3] }) => {
    const hosts = [h1, h2, h3];
    for (const host of hosts) await host.launch(...(host === h1 ? [] : [h1.address]));
    for (const host of hosts) await connected(host, 2, 60_000);
    const order = async (password: string, ...more: string[]) => {
      await h1.ok("rekey", "--password-file", file(h1, password), "--deadline", "1s", ...more);
    };
    await h3.ok("stop");
    await order("first-secret-1", "--accept-old", "1h");
    assert.match(await status(h2), /Changed: .*\(h1\)/);
    // Known peers may still come without a password.
    assert.equal(await h2.report("{{.Secret.Required}}"), "false");
    // What keeps the router running starts it with the options of its launch, which have no password.
    await h2.ok("restart");
    await connected(h2, 1, 30_000);
    assert.match(await h2.ok("status"), /The network has another password now.*launch with the new one the next time/);
    await h3.launch(h1.address, h2.address);
    await connected(h3, 2, 30_000);
    await until("it has received the password", async () => (await status(h3)).includes("(h1)"), 10_000);

    await h3.ok("stop");
    await order("second-secret-2");
    await until("the earlier is gone", async () => (await h1.report("{{.Secret.EarlierUntil}}")) === "", 30_000);
    assert.equal(await h2.report("{{.Secret.Required}}"), "true");
    await h3.launch(h1.address, h2.address);
    await until(
      "its password is refused",
      async () => /refused the password/.test(await h3.ok("status", "connections")),
      20_000,
    );
    await connected(h3, 0);
    await h3.ok("stop");
    await h3.launch("--password-file", file(h3, "second-secret-2"), h1.address, h2.address);
    await connected(h3, 2, 30_000);
  },
);
