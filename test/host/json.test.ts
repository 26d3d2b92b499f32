import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ShapeName } from "#cli/json/document.js";
import { Shapes } from "#test/lab/json-shape.js";
import { labTest } from "#test/lab/lab-test.js";
import { until } from "#test/lab/wait.js";

/** The JSON of every command on real hosts, against the table of which docs/json.md is made. */
labTest(
  "the output of each command with --json has its shape",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts, folder }) => {
    const [h1, h2] = hosts;
    const seen = new Shapes();
    const check = async (shape: ShapeName, ...args: string[]) => {
      const { code, stdout, stderr } = await h1.weave(...args, "--json");
      assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
      seen.check(shape, stdout, args.join(" "));
      return JSON.parse(stdout);
    };
    const flags = ["--name", h1.peerName, "--nickname", "h1", "--dns-listen-address", "127.0.0.1:5300"];
    const password = ["--password-file", join(folder, "password")];
    writeFileSync(password[1], "correct horse battery staple 1\n");
    await check("version", "version");
    seen.check("doctor", (await h1.weave("doctor", "--json")).stdout, "doctor");
    await check("setup", "setup");
    // It writes below /etc, which is a folder of its own here.
    const ownEtc = [
      "unshare",
      "--mount",
      "sh",
      "-c",
      'mount -t tmpfs none /etc && mkdir /etc/NetworkManager && exec "$@"',
      "sh",
    ];
    const managers = await h1.weaveVia(ownEtc, "setup", "--network-managers", "--json");
    seen.check("setup-network-managers", managers.stdout, "setup --network-managers");
    await check("setup-cni", "setup-cni");
    await check("launch", "launch", ...flags, ...password);
    await h2.launch(...password, "--dns-listen-address", "127.0.0.1:5300", h1.address, "10.99.0.77");
    await h2.ok("prime");
    const { ns } = await h1.container("c");
    assert.match((await check("addresses", "attach", `netns:${ns}`)).Addresses[0], /^10\.\d+\.\d+\.\d+\/12$/);
    await check("addresses", "expose", "-h", "here");
    await h1.ok("dns-add", "10.32.0.9", "-h", "printer");
    assert.equal((await check("ps", "ps")).Attachments.length, 2);
    assert.equal((await check("ps", "ps", "netns:nosuch")).Missing.length, 1);
    await check("ipam-explain", "ipam", "explain");
    assert.deepEqual((await check("dns-lookup", "dns-lookup", "printer")).Addresses, ["10.32.0.9"]);
    assert.deepEqual((await check("dns-lookup", "dns-lookup", "nosuch")).Addresses, []);
    await check("dns-args", "dns-args");
    await check("env", "env");
    const restored = await h1.weaveWith({ ORIG_DOCKER_HOST: "tcp://a:1" }, "env", "--restore", "--json");
    seen.check("env", restored.stdout, "env --restore");
    await check("events", "events");
    await check("identity", "identity");
    await check("bugreport", "bugreport", join(folder, "report.tar.gz"));
    await check("reload", "reload");
    await check("trust", "trust");
    const report = await check("report", "report");
    assert.equal(typeof report.Router.Peers[0].UID, "string");
    assert.ok(
      (await h1.ok("report")).includes(`"UID": ${report.Router.Peers[0].UID}`),
      "the same digits as without --json",
    );
    await check("status", "status");
    await check("status-targets", "status", "targets");
    await until("h1 has a carrier", async () => {
      const { Connections } = await check("status-connections", "status", "connections");
      return Connections.some(
        ({ Carrier, Peer }: { Carrier: string; Peer: string }) => Carrier === "sleeve" && Peer === h2.peerName,
      );
    });
    await check("ping", "ping", "h2", "-c", "1");
    await check("trace", "trace", `netns:${ns}`, "h2");
    await check("status-peers", "status", "peers");
    await check("status-ipam", "status", "ipam");
    assert.equal((await check("status-dns", "status", "dns")).Entries.length, 2);
    await check("rekey-status", "rekey", "status");
    writeFileSync(password[1], "correct horse battery staple 2\n");
    await check("rekey", "rekey", ...password);
    await check("rekey-status", "rekey", "status");
    await check("trust-forget", "trust", "forget", h2.peerName);
    await check("addresses", "detach", `netns:${ns}`);
    await check("addresses", "hide");
    // Their command reports failures by its exit status, in the same document.
    seen.check("rmpeer", (await h1.weave("rmpeer", "nosuch", "--json")).stdout, "rmpeer");
    await h1.must("ip", "link", "add", "docker0", "type", "bridge");
    await h1.must("ip", "address", "add", "172.31.0.1/24", "dev", "docker0");
    assert.equal((await check("docker-bridge-ip", "docker-bridge-ip")).Address, "172.31.0.1");
    assert.deepEqual(seen.missing(["error", "config", "capture", "capture-frame"]), []);

    // A document in each line, also while the router is away; without a terminal there is no colour and no other control sequence.
    const watched = h1.spawn([
      "env",
      ...Object.entries(h1.environment).map(([key, value]) => `${key}=${value}`),
      ...h1.weaveCommand,
      "status",
      "--watch",
      "--interval",
      "1",
      "--json",
    ]);
    let [lines, errors] = ["", ""];
    watched.stdout!.on("data", (chunk: Buffer) => {
      lines += chunk;
    });
    watched.stderr!.on("data", (chunk: Buffer) => {
      errors += chunk;
    });
    try {
      await until("two documents are printed", async () => lines.split("\n").length > 2);
      await h1.ok("stop");
      await until("the absence is reported", async () => errors.includes("weave is not running"));
      assert.equal(watched.exitCode, null);
    } finally {
      watched.kill("SIGKILL");
    }
    for (const line of lines.trim().split("\n")) seen.check("status", line, "watch");
    assert.ok(!lines.includes("\u001B"));
  },
);
