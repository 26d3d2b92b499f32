import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { EventsDocument } from "#router/event-log/event-row.js";
import { eventFile } from "#src/paths.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { environmentOf } from "#test/lab/router-process.js";
import { connected, until } from "#test/lab/wait.js";

/** What happened on real hosts, as `weave events` reports it. */

const eventsOf = async (host: Host, ...args: string[]) =>
  (JSON.parse(await host.ok("events", "--json", ...args)) as EventsDocument).Events;

/** Waits until a host has an event. @param peer the origin */
const reported = (host: Host, kind: string, peer: Host, text: RegExp) =>
  until(`${host.name} reports of ${kind}`, async () =>
    (await eventsOf(host, "--kind", kind)).some(({ Peer, Text }) => Peer === peer.peerName && text.test(Text)),
  );

/** Follows the events of a host. */
function followed(host: Host, ...args: string[]) {
  const child = host.spawn(["env", ...environmentOf(host), ...host.weaveCommand, "events", "-f", ...args]);
  const seen = { stdout: "", stderr: "", end: () => child.kill("SIGKILL") };
  child.stdout!.on("data", (chunk: Buffer) => {
    seen.stdout += chunk;
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    seen.stderr += chunk;
  });
  return seen;
}

labTest(
  "events: others report a router that was killed, and so does its next start; a follower goes on over a restart",
  { hosts: 3, timeout: 180_000 },
  async ({ hosts: [h1, h2, h3] }) => {
    for (const host of [h2, h3]) await host.launch("--password", "correct horse battery 1");
    await h1.launch("--password", "correct horse battery 1", h2.address, h3.address);
    await connected(h1, 2);
    await reported(h1, "link-up", h1, new RegExp(`connected to ${h2.peerName}\\(h2\\) at 10\\.99\\.0\\.2:`));
    // By gossip: h3 has no part in the start of h2.
    await reported(h3, "started", h2, /^the router has started, version /);

    const follower = followed(h1, "--json");
    process.kill(h3.routerPid!, "SIGKILL");
    for (const host of [h1, h2])
      await reported(host, "link-down", host, new RegExp(`${h3.peerName}\\(h3\\) has ended: `));
    await reported(h1, "started", h3, /the one before has ended without a stop/);

    await until("the follower has seen it", () => /"Kind":"link-down"/.test(follower.stdout));
    const before = await eventsOf(h1);
    await h1.ok("restart");
    const after = await eventsOf(h1, "--limit", "3000");
    for (const { Id } of before)
      assert.ok(
        after.some((each) => each.Id === Id),
        `${Id} is kept`,
      );
    await until("the follower is back", () => follower.stdout.includes('"Kind":"stopped"'));
    await reported(h2, "stopped", h1, /^the router stops$/);
    await until("it has the new start", () => (follower.stdout.match(/"Kind":"started"/g) ?? []).length >= 2);
    follower.end();
    assert.match(follower.stderr, /the router is away[^\n]*\n.*the router is back/s);
    const ids = follower.stdout
      .trim()
      .split("\n")
      .flatMap((line) => (JSON.parse(line) as EventsDocument).Events.map(({ Id }) => Id));
    assert.equal(new Set(ids).size, ids.length, "no event comes twice");
  },
);

labTest(
  "events are bounded, harmless and kept: damaged files, texts of others, strangers, and no router",
  { hosts: 2, timeout: 180_000 },
  async ({ hosts: [h1, h2] }) => {
    const nothing = await h1.weave("events");
    assert.deepEqual([nothing.code, nothing.stdout], [1, ""]);
    assert.match(nothing.stderr, /^weave is not running/);
    const file = eventFile(h1.databasePrefix);
    await h1.launch("--password", "correct horse battery 1");
    await h1.ok("stop");
    const stopped = await h1.weave("events");
    assert.match(stopped.stdout, /started: the router has started.*\n.*stopped: the router stops\n$/s);
    assert.match(stopped.stderr, /^no router answers: these are the events up to the end of the last one\n$/);

    // The text of an event of another peer, as a hostile one may sign it; a damaged line; the half of one, as after a full disk.
    const hostile = { peer: h2.peerName, number: 7, time: 9e12, kind: "nosuch", severity: "error", subject: "" };
    appendFileSync(
      file,
      `{"peer":7}\nnot JSON\n${JSON.stringify({ ...hostile, text: "a\u001B[2J\u202Eb\nc" })}\n{"peer":"02`,
    );
    await h1.launch("--password", "correct horse battery 1");
    await h2.launch("--password", "wrong horse battery 2", h1.address);
    await reported(h1, "refused", h1, /^a connection of 10\.99\.0\.2 was refused: the passwords differ/);
    const text = await h1.ok("events", "--limit", "3000");
    assert.match(text, /02:00:00:00:00:02 +error +other: a\?\[2J\?b c\n/);
    assert.doesNotMatch(text, /[^\P{C}\n]/u);
    assert.match(text, /the router stops\n/, "those of before are there");
    assert.deepEqual(
      (await eventsOf(h1, "--severity", "error")).map(({ Kind }) => Kind),
      ["other"],
    );
    assert.deepEqual(await eventsOf(h1, "--since", "2099-01-01T00:00"), await eventsOf(h1, "--severity", "error"));
    assert.deepEqual(await eventsOf(h1, "--peer", "nosuch"), []);
    assert.equal((await h1.api("GET", "/events?limit=99999")).status, 400);
    for (const line of readFileSync(file, "utf8").trimEnd().split("\n")) JSON.parse(line);

    // A file that cannot be used is a problem, and no failed start.
    await h1.ok("stop");
    rmSync(file);
    mkdirSync(file);
    writeFileSync(`${file}/x`, "");
    await h1.launch("--password", "correct horse battery 1");
    assert.match(await h1.ok("status"), /Problem: events cannot be kept in .*events\.jsonl: /);
    assert.ok((await eventsOf(h1, "--kind", "started")).length === 1);
  },
);
