import assert from "node:assert/strict";
import { test } from "node:test";
import { type DoctorCheck, ok, worstOf } from "#cli/doctor/check.js";
import { DOCTOR_CHECKS } from "#cli/doctor/checks.js";
import { closedChain } from "#cli/doctor/firewall.js";
import type { HostFacts } from "#cli/doctor/host-facts.js";
import { isKernelPreferred, kernelPorts, namePort, udpPorts } from "#cli/doctor/kernel-ports.js";
import { pathCheck } from "#cli/doctor/path.js";
import { connectionFinding, kernelPathFindings } from "#cli/doctor/peers.js";
import { runChecks } from "#cli/doctor/run-checks.js";
import { page } from "#test/lab/docs/pages.js";

const HOST = {} as HostFacts;
const check = (name: string, run: DoctorCheck["run"]): DoctorCheck => ({ name, run });

test("a check that does not end is a warning, one that throws too, and the others are not delayed", async () => {
  const checks = [
    check("a", () => new Promise(() => {})),
    check("b", () => Promise.reject(new Error("no\nway"))),
    ...Array.from({ length: 9 }, (_, at) => check(`c${at}`, () => [ok("well")])),
  ];
  const { findings, complete } = await runChecks(checks, HOST, 100);
  assert.equal(complete, false);
  assert.deepEqual(
    findings.slice(0, 2).map(({ check: name, level, what, cause }) => [name, level, what, cause]),
    [
      ["a", "warn", "not known within 0.1 s", "a program or another host did not answer"],
      ["b", "warn", "cannot be checked", "no way"],
    ],
  );
  assert.deepEqual(
    findings.slice(2).map(({ check: name, level }) => [name, level]),
    checks.slice(2).map(({ name }) => [name, "ok"]),
  );
});

test("at most four checks run at the same time", async () => {
  let [now, most] = [0, 0];
  const busy = check("x", async () => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 5));
    now--;
    return [ok("well")];
  });
  const { complete } = await runChecks(
    Array.from({ length: 12 }, () => busy),
    HOST,
    5_000,
  );
  assert.deepEqual([complete, most], [true, 4]);
});

test("docs/operations.md has a row for each check", () => {
  const rows = [...page("docs/operations.md").matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(
    rows,
    DOCTOR_CHECKS.map(({ name }) => name),
  );
});

test("the worst level counts", () => {
  assert.equal(worstOf([]), "ok");
  assert.equal(worstOf([{ level: "ok" }, { level: "fail" }, { level: "warn" }]), "fail");
});

test("a failed connection has the cause and remedy of its reason", () => {
  const router = { Name: "02::1", Peers: [] };
  const failed = (Info: string) =>
    connectionFinding({ Address: "10.0.0.2:6783", Outbound: true, State: "failed", Info, Attrs: null }, router);
  for (const [info, remedy] of [
    ["the passwords differ: give all peers the same --password, refused once", /--password-file on all hosts/],
    ['local "a" and remote "b" peer names collision, retry: never', /--name/],
    ["dial tcp 10.0.0.2:6783: connect: no route to host, retry: x", /open TCP 6783, and UDP 6783 to 6785/],
    ["02::2 is excluded from the network", /trust forget/],
  ] as const) {
    const { level, what, remedy: found } = failed(info);
    assert.deepEqual([level, what], ["fail", `10.0.0.2:6783: ${info}`]);
    assert.match(found!, remedy);
  }
  assert.equal(failed("something new").remedy, undefined);
  const opening = { Address: "10.0.0.2:6783", Outbound: true, State: "connecting", Info: "", Attrs: null };
  assert.equal(connectionFinding(opening, router).level, "warn");
});

/** Established connections to h2 and h3, by carriers. */
function routerWith(...carriers: readonly (readonly [carrier: string, reason?: string])[]) {
  const address = (at: number) => `10.0.0.${at + 2}:6783`;
  const Connections = carriers.map(([name, reason], at) => ({
    ...{ Address: address(at), Outbound: true, State: "established", Info: "" },
    Attrs: { name, ...(reason !== undefined && { reason: `"${reason}"` }) },
  }));
  const links = carriers.map((_, at) => ({
    ...{ Name: `02::${at + 2}`, NickName: `h${at + 2}`, Address: address(at) },
    ...{ Outbound: true, Established: true },
  }));
  const Peers = [{ Name: "02::1", NickName: "h1", UID: 1n, ShortID: 0, Version: 1, Connections: links }];
  return { Name: "02::1", Peers, Connections };
}

test("a connection by the kernel is well; UDP is missing by stream alone", () => {
  const found = (carrier: string, reason?: string) => {
    const router = routerWith([carrier, reason]);
    return connectionFinding(router.Connections[0], router);
  };
  const name = "02::2(h2) at 10.0.0.2:6783";
  assert.deepEqual(found("fastdp"), ok(`${name}: frames pass by the kernel, in both directions`));
  assert.deepEqual(found("sleeve"), ok(`${name}: TCP and UDP pass in both directions`));
  assert.equal(found("sleeve", "no VXLAN in this kernel").level, "ok");
  const [stream, cut] = [found("stream", "no answer"), found("sleeve", "VXLAN does not pass: no heartbeat")];
  assert.deepEqual([stream.level, stream.what], ["warn", `${name}: frames use stream: no answer`]);
  assert.match(stream.remedy!, /UDP 6783 to 6785/);
  assert.equal(cut.level, "warn");
  assert.match(cut.remedy!, /UDP 6784 and 6785/);
});

test("why a host has no kernel's path is a warning where its frames would take it first", () => {
  const findings = (Clear: string, Encrypted: string, fastdpEncrypted?: "on") =>
    kernelPathFindings({
      report: { Fastdp: { Clear: { Problem: Clear }, Encrypted: { Problem: Encrypted } } },
      launched: { fastdpEncrypted },
    } as unknown as HostFacts).map(({ level, what }) => [level, what]);
  assert.deepEqual(findings("", ""), []);
  const [clear, sealed] = ["(in clear): no VXLAN", "(encrypted): no WireGuard"].map(
    (text) => `no frames pass by the kernel ${text}`,
  );
  assert.deepEqual(findings("no VXLAN", "no WireGuard"), [
    ["warn", clear],
    ["ok", sealed],
  ]);
  assert.deepEqual(findings("", "no WireGuard", "on"), [["warn", sealed]]);
  for (const text of ["no connection of this host is in clear", "off by --fastdp-encrypted"])
    assert.equal(findings(text, "")[0][0], "ok");
  assert.deepEqual(kernelPathFindings({ report: undefined, launched: {} }), []);
});

test("a path counts by the carrier that its frames take", () => {
  const figures = (at: number) => ({
    ...{ Name: `02::${at}`, NickName: `h${at}`, State: "established", DatagramBytes: 1_472, DatagramReason: "probed" },
    ...{ Batches: "yes", LossPercent: 50 },
  });
  const fastdp = [{ Name: "02::2", NickName: "h2", Tunnel: "vxlan", HeartbeatBytes: 1_390 }];
  const router = routerWith(["fastdp"], ["sleeve"]);
  const report = { Router: { ...router, OverlayDiagnostics: { sleeve: [figures(2), figures(3)], fastdp } } };
  const found = pathCheck.run({ report } as unknown as HostFacts, AbortSignal.timeout(1_000));
  assert.deepEqual(
    (found as { level: string; what: string }[]).map(({ level, what }) => [level, what]),
    [
      ["ok", "h2: heartbeats of 1390 bytes pass by the kernel (vxlan)"],
      ["warn", "h3: 50 % of the datagrams are lost"],
    ],
  );
});

test("the ports of the kernel's path are those that the router takes", () => {
  for (const [launched, ports, preferred] of [
    [{}, [6_784], false],
    [{ noFastdp: true, encryption: false }, [], false],
    [{ encryption: false }, [6_784], true],
    [{ fastdpEncrypted: "on" }, [6_784], true],
    [{ fastdpEncrypted: "off" }, [], false],
    [{ trustedSubnets: ["10.0.0.0/8"] }, [6_784, 6_785], true],
  ] as const) {
    const facts = { launched: launched as HostFacts["launched"], port: 6_783 };
    assert.deepEqual([kernelPorts(facts), isKernelPreferred(facts)], [ports, preferred], JSON.stringify(launched));
    assert.equal(udpPorts(facts), ports.length === 0 ? "6783" : `6783-${ports.at(-1)}`);
  }
});

test("a chain that drops names the ports that it lacks, one by one or in a range", () => {
  for (const rules of ["udp dport 6784 accept", "dport 6783-6785", "--dport 6000:7000", "{ 22, 6784 }"])
    assert.ok(namePort(rules, 6_784), rules);
  for (const rules of ["dport 16784", "dport 22-80", "saddr fd00:1:9000::/48", "02:00:9000", ""])
    assert.ok(!namePort(rules, 6_784), rules);
  const found = (rules: string, launched: HostFacts["launched"]) =>
    closedChain("x", rules, { launched, port: 6_783 }, "nft").map(({ what }) => what);
  assert.deepEqual(found("", {}), ["x drops by default, and has no rule for port 6783"]);
  assert.deepEqual(found("dport 6783", {}), []);
  assert.deepEqual(found("dport 6783", { encryption: false }), ["x drops by default, and has no rule for UDP 6784"]);
  assert.deepEqual(found("dport 6783-6785", { encryption: false }), []);
  const [{ remedy }] = closedChain("x", "", { launched: { encryption: false }, port: 6_783 }, "nft");
  assert.match(remedy!, /udp dport 6783-6784 accept/);
});
