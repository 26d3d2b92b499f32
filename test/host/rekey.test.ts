import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { environmentOf } from "#test/lab/router-process.js";
import { connected, until } from "#test/lab/wait.js";

/** Writes a host's password file. */
function passwordFile(host: Host, password: string): string {
  const file = join(host.folder, "password");
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return file;
}

/** Pings every 10 ms while `change` runs. @returns the number of lost packets */
async function lostDuring(from: Namespace, to: string, change: () => Promise<void>): Promise<number> {
  const ping = from.spawn(["ping", "-n", "-i", "0.01", "-w", "120", to]);
  let text = "";
  ping.stdout!.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  await sleep(1_000);
  await change();
  await sleep(2_000);
  const ended = new Promise((resolve) => ping.once("exit", resolve));
  ping.kill("SIGINT");
  await ended;
  // Those after the last answer were on their way when the program ended, which it counts as a loss.
  const answered = new Set([...text.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, seq]) => Number(seq)));
  assert.ok(answered.size > 100, text);
  return Math.max(...answered) - answered.size;
}

const status = (host: Host) => host.ok("rekey", "status");
/** Waits until a host's order is that of `by`, and no peer lacks its secret. */
const changed = (host: Host, by: Host, timeoutMs = 60_000) =>
  until(
    `${host.name} has the password of ${by.name}, and all have confirmed`,
    async () => {
      const text = await status(host);
      return text.includes(`(${by.name})`) && text.includes("Lacking: none");
    },
    timeoutMs,
  );
const warning = async (host: Host) => (await host.ok("status")).includes("The network has another password now");

/** Three hosts with one password, all connected, and containers on the first two. */
async function joined(hosts: readonly Host[], password: string | undefined): Promise<Namespace> {
  for (const host of hosts)
    await host.launch(...(password === undefined ? [] : ["--password-file", passwordFile(host, password)]));
  const [h1, h2, ...others] = hosts;
  for (const host of [h2, ...others]) await host.ok("connect", h1.address);
  for (const host of hosts) await connected(host, hosts.length - 1, 60_000);
  const c1 = await h1.attach("c1", "10.32.0.1/12");
  await h2.attach("c2", "10.32.0.2/12");
  await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
  return c1;
}

labTest(
  "the password changes on all hosts, and no ping is lost; a restart with the old file works, and status names the file",
  { hosts: 3, timeout: 600_000 },
  async ({ hosts: [h1, h2, h3] }) => {
    const c1 = await joined([h1, h2, h3], "old-secret-1");
    writeFileSync(join(h1.folder, "new"), "new-secret-2\n", { mode: 0o600 });
    const lost = await lostDuring(c1, "10.32.0.2", async () => {
      const text = await h1.ok("rekey", "--password-file", join(h1.folder, "new"));
      assert.match(text, /^The network has a new password\./);
      assert.doesNotMatch(text, /new-secret/);
      for (const host of [h1, h2, h3]) await changed(host, h1);
    });
    assert.equal(lost, 0, "lost pings");
    for (const host of [h1, h2, h3]) {
      assert.ok(await warning(host), `${host.name} has a file with the old password`);
      assert.doesNotMatch(host.log(), /new-secret|old-secret/);
      assert.match(host.log(), /the network's secret has changed/);
      assert.equal(await host.report("{{.Secret.Required}}"), "true");
    }
    assert.match(await h2.ok("status"), new RegExp(`write it to ${join(h2.folder, "password")}`));

    await h2.ok("stop");
    await h2.launch("--password-file", join(h2.folder, "password"), h1.address);
    await connected(h2, 2, 60_000);
    assert.ok(await warning(h2), "after a restart with the old password");
    await h2.ok("stop");
    await h2.launch("--password-file", passwordFile(h2, "new-secret-2"), h1.address);
    await connected(h2, 2, 60_000);
    assert.equal(await warning(h2), false, "after a restart with the new password");
    // A third password is a plain new launch.
    await h3.ok("stop");
    await h3.launch("--password-file", passwordFile(h3, "another-secret-3"), h1.address);
    await sleep(3_000);
    await connected(h3, 0);
    assert.match(await status(h3), /has not been changed/);
  },
);

labTest(
  "an excluded peer gets out on all hosts, and cannot return with the old password nor with a new identity",
  { hosts: 3, timeout: 600_000 },
  async ({ hosts: [h1, h2, h3] }) => {
    const c1 = await joined([h1, h2, h3], "old-secret-1");
    writeFileSync(join(h1.folder, "new"), "new-secret-2\n", { mode: 0o600 });
    const reused = await h1.weave("rekey", "--exclude", "h3", "--password-file", join(h1.folder, "password"));
    assert.notEqual(reused.code, 0);
    const lost = await lostDuring(c1, "10.32.0.2", async () => {
      const text = await h1.ok("rekey", "--exclude", "h3", "--password-file", join(h1.folder, "new"));
      assert.match(text, /h3\) is excluded: .*weave rmpeer/);
      await changed(h1, h1);
      await changed(h2, h1);
    });
    assert.equal(lost, 0, "lost pings");
    for (const host of [h1, h2]) await connected(host, 1);
    await connected(h3, 0);
    for (const host of [h1, h2]) assert.match(await host.ok("status"), /excluded.*|Excluded.*h3/i, host.name);
    assert.match(await status(h3), /has not been changed/, "it did not learn the secret");
    // It starts again, with what it knows; then as a new peer.
    await h3.ok("stop");
    await h3.launch("--password-file", join(h3.folder, "password"), h1.address, h2.address);
    await sleep(8_000);
    await connected(h3, 0);
    await h3.weave("reset", "--force");
    await h3.ok(
      "launch",
      "--name",
      "02:00:00:00:99:99",
      "--nickname",
      "new",
      "--password-file",
      passwordFile(h3, "old-secret-1"),
      h1.address,
    );
    await sleep(8_000);
    await connected(h3, 0);
    for (const host of [h1, h2]) await connected(host, 1);
    await until(
      "its addresses can be taken over",
      async () => (await h1.weave("rmpeer", h3.peerName)).code === 0,
      120_000,
    );
  },
);

labTest(
  "what keeps a router running starts it with the options of its launch, and the router has the password in force",
  { hosts: 2, timeout: 300_000 },
  async ({ hosts: [h1, h2] }) => {
    await joined([h1, h2], "old-secret-1");
    // As weave.service has it: the stored launch, and a start without a user.
    const launched = JSON.parse(readFileSync(join(h2.runDir, "launch.json"), "utf8"));
    const given = ["password", "passwordFile", "nickname", "name"];
    await h2.ok("stop");
    writeFileSync(join(h2.folder, "state", "launch-options.json"), JSON.stringify({ options: launched, given }));
    const supervised = async () => {
      h2.spawn(["env", ...environmentOf(h2), ...h2.weaveCommand, "launch", "--supervised", "systemd"]);
      await until("the router is ready", async () => (await h2.weave("status")).code === 0, 30_000);
    };
    await supervised();
    await connected(h2, 1, 30_000);
    for (const password of ["new-secret-2", undefined, "new-secret-3"]) {
      const how = password === undefined ? ["--open"] : ["--password-file", passwordFile(h1, password)];
      await h1.ok("rekey", ...how, "--deadline", "1s");
      await until("the earlier is gone", async () => (await h1.report("{{.Secret.EarlierUntil}}")) === "", 30_000);
      process.kill(h2.routerPid!, "SIGKILL");
      await until("it has ended", async () => h2.routerPid === undefined);
      await supervised();
      await connected(h2, 1, 30_000);
      assert.equal(await h2.report("{{.Secret.Required}}"), `${password !== undefined}`);
    }
    assert.ok(await warning(h2));
    process.kill(h2.routerPid!, "SIGTERM");
    await until("it has ended", async () => h2.routerPid === undefined);
  },
);
