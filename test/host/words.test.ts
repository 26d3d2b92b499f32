import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inLab } from "#test/lab/lab.js";
import { labTest } from "#test/lab/lab-test.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;

labTest(
  "unknown names, and this host's own, are reported by the command",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--dns-listen-address", "127.0.0.1:5300");
    const refuse = async (code: number, stderr: RegExp, ...args: string[]) => {
      const result = await h1.weave(...args);
      assert.deepEqual([result.code, result.stdout], [code, ""], `${args.join(" ")}: ${result.stderr}`);
      assert.match(result.stderr, stderr);
    };
    await refuse(1, /^no peer called "nosuch" was ever seen here\n'weave status ipam'/, "rmpeer", "nosuch");
    await refuse(1, /^"h1" is this peer itself, and not dead\n'weave reset'/, "rmpeer", "h1");
    await refuse(1, /^"02:00:00:00:00:01" is this peer itself/, "rmpeer", h1.peerName);
    await refuse(1, /^"nosuch" is no target; 'weave status targets' lists them\n$/, "forget", "nosuch");
    await refuse(0, /^network namespace netns:nosuch not found/, "ps", "netns:nosuch");
    await refuse(0, /^nosuch\.weave\.local\. has no address\n$/, "dns-lookup", "nosuch");
    await refuse(0, /^No names are registered\./, "status", "dns");
    for (const own of [h1.address, `${h1.address}:6783`, "127.0.0.1"])
      await refuse(0, /^WARNING: \S+ is this host itself; weave does not connect to itself\.\n$/, "connect", own);
    await refuse(
      1,
      /^error during template execution: \.Router has no field Nope\n$/,
      "report",
      "-f",
      "{{.Router.Nope}}",
    );
    assert.match((await h1.api("GET", "/report")).body, /^error: must supply one format parameter\nGive \?format=/);
    // Not a byte more than the template says, for scripts: a terminal gets a line end.
    assert.equal(await h1.ok("report", "-f", "{{.Router.NickName}}"), "h1");
    const terminal = ["sh", "-c", 'exec script -qec "$*" /dev/null', "sh"];
    const shown = await h1.weaveVia(terminal, "report", "-f", "'{{.Router.NickName}}'");
    assert.equal(shown.stdout, "h1\r\n");
  },
);

labTest(
  "status ipam names the peers that the first division waits for",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=3", "10.99.0.77");
    assert.match(await h1.ok("status", "ipam"), /^idle: 10\.32\.0\.0\/12 is divided among the peers when/);
    const { code } = await h1.weave("prime", "--timeout", "1");
    assert.equal(code, 1);
    await until("the attempt is listed", async () => /10\.99\.0\.77/.test(await h1.ok("status", "ipam")));
    assert.match(
      await h1.ok("status", "ipam"),
      /^waits for consensus on the first division of 10\.32\.0\.0\/12: quorum 2, known 1 of 1 reachable peers [^\n]*1 more must agree: [^\n]* Not connected: 10\.99\.0\.77:6783\.\n$/,
    );
  },
);

test(
  "setup and launch detect BusyBox's ip and nsenter",
  { skip: skip || (programMissing("busybox", "busybox-static") ?? false), timeout: 180_000 },
  () =>
    inLab(1, async ({ hosts: [h1] }) => {
      const folder = join(h1.folder, "busybox");
      mkdirSync(folder);
      for (const name of ["ip", "nsenter"]) symlinkSync("/usr/bin/busybox", join(folder, name));
      const env = ["env", `PATH=${folder}:${process.env.PATH}`];
      const setup = await h1.weaveVia(env, "setup");
      assert.equal(setup.code, 1);
      assert.match(
        setup.stdout,
        /^ip +MISSING +ip is BusyBox's, which lacks options that weave needs\. Please install iproute2\./m,
      );
      assert.match(setup.stdout, /^nsenter +MISSING +nsenter is BusyBox's/m);
      const launch = await h1.weaveVia(env, "launch", "--name", h1.peerName);
      assert.equal(launch.code, 1);
      assert.match(launch.stderr, /ip is BusyBox's, which lacks options that weave needs/);
      assert.doesNotMatch(launch.stderr, /Usage/);
    }),
);
