import assert from "node:assert/strict";
import { test } from "node:test";
import { type DoctorCheck, ok, worstOf } from "#cli/doctor/check.js";
import { DOCTOR_CHECKS } from "#cli/doctor/checks.js";
import type { HostFacts } from "#cli/doctor/host-facts.js";
import { connectionFinding } from "#cli/doctor/peers.js";
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
    ["dial tcp 10.0.0.2:6783: connect: no route to host, retry: x", /open TCP and UDP/],
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
