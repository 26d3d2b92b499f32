import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { doctor, has } from "#test/lab/doctor.js";
import { labTest } from "#test/lab/lab-test.js";
import { until } from "#test/lab/wait.js";

labTest(
  "doctor finds each fault that is made on hosts with routers",
  { hosts: 2, timeout: 120_000, mtu: 1_200 },
  async ({ hosts: [h1, h2] }) => {
    const dns = ["--dns-listen-address", "127.0.0.1:5300"];
    // UDP to the other host, and queries to weaveDNS, are dropped from the beginning: a path that was lost is known after 12 s.
    await h2.must(
      "nft",
      "add table inet bad; add chain inet bad out { type filter hook output priority 0; }; add rule inet bad out udp dport { 5300, 6783 } drop",
    );
    await h1.launch("--insecure-http", ...dns);
    await h2.ok("launch", "--name", h2.peerName, "--nickname", "h1", ...dns, h1.address, "10.99.0.77");
    const shown = (pattern: RegExp) => async () => pattern.test(await h2.ok("status", "connections"));
    await until("frames use TCP", shown(/established .*stream/));
    await until("the other attempt has failed", shown(/77:6783 +(?:failed|retrying)/));
    // A clock that was set back: the database is newer.
    const future = new Date("2099-01-01");
    utimesSync(`${h2.databasePrefix}data.db`, future, future);
    const bad = await doctor(h2);
    has(bad, "peers", "warn", /^02:00:00:00:00:01\(h1\) at 10\.99\.0\.1:6783: frames use stream/);
    has(bad, "peers", "fail", /^10\.99\.0\.77:6783: /);
    has(bad, "weaveDNS", "fail", /^no answer to a query from 127\.0\.0\.1/);
    has(bad, "clock", "fail", /^the clock of this host was set back/);
    has(bad, "names", "warn", /^02:\S+ and 02:\S+ have the nickname h1$/);

    await h2.must("nft", "delete table inet bad");
    await until("UDP passes", shown(/established .*sleeve/));
    const good = await doctor(h2);
    has(good, "peers", "ok", /^02:00:00:00:00:01\(h1\) at 10\.99\.0\.1:6783: TCP and UDP pass in both directions$/);
    has(good, "paths", "warn", /^h1: packets of 1200 bytes pass/);
    has(good, "weaveDNS", "ok", /^answers 127\.0\.0\.1/);
    has(await doctor(h1), "router", "fail", /^any client that reaches the control API/);
    const { stdout } = await h2.weave("doctor");
    assert.match(stdout, /\n\d+ ok, \d+ warn, \d+ fail; --all shows what is well\n$/);
  },
);
