import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ArpSettings } from "#docker/containers/arp-settings.js";
import { containerShape } from "#docker/engine/shapes.js";
import { namedNetns } from "#src/linux/netns/netns.js";
import { must, Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
/** Names that a container with the right to change its interfaces can choose: the kernel forbids `/`, `:` and space only. */
const NAMES = ["$(>a)", ";>b;", '"`>c`', "-x"];

test("the names that a container gives to its interfaces are no part of a command", {
  skip: hostTestsImpossible() ?? false,
  timeout: 180_000,
}, async (t) => {
  const ns = new Namespace(`arp${process.pid}`);
  const folder = mkdtempSync(join(tmpdir(), "weave-arp-"));
  const before = process.cwd();
  t.after(async () => {
    process.chdir(before);
    rmSync(folder, { recursive: true });
    await must("ip", "netns", "delete", ns.ns);
  });
  // The commands would leave their files here.
  process.chdir(folder);
  await must("ip", "netns", "add", ns.ns);
  const child = ns.spawn(["sleep", "60"]);
  t.after(() => void child.kill());
  const path = `/proc/${child.pid}/ns/net`;
  await until("the process is in the namespace", () => statSync(path).ino === statSync(namedNetns(ns.ns)).ino);
  for (const [index, name] of ["renamed", "plain0"].entries())
    await ns.must("ip", "link", "add", "name", name, "address", MACS[index], "type", "bridge");
  const ends = MACS.map((MacAddress, index) => [`n${index}`, { NetworkID: `n${index}`, MacAddress }]);
  const container = containerShape.parse({
    Id: "a",
    State: { Running: true, Pid: child.pid },
    Config: {},
    HostConfig: {},
    NetworkSettings: { Networks: Object.fromEntries(ends) },
  });
  let present = "renamed";
  for (const name of NAMES) {
    await ns.must("ip", "link", "set", "dev", present, "name", name);
    present = name;
    await ns.must("sysctl", "-qw", "net.ipv4.conf.plain0.arp_notify=0");
    await new ArpSettings(() => true).running(container);
    assert.deepEqual(readdirSync(folder), [], name);
    assert.equal((await ns.must("sysctl", "-n", "net.ipv4.conf.plain0.arp_notify")).trim(), "1", name);
  }
});
