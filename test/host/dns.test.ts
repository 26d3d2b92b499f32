import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Host } from "#test/lab/host.js";
import { inLab, type Lab } from "#test/lab/lab.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;

/** Two hosts whose containers can ask their own host: it is exposed. */
async function launchTwo(lab: Lab, ...args: string[]): Promise<{ host: Host; server: string }[]> {
  const [h1, h2] = lab.hosts;
  await Promise.all(lab.hosts.map((host) => host.launch("--ipalloc-init", "consensus=2", ...args)));
  await h2.ok("connect", h1.address);
  for (const host of lab.hosts) await connected(host, 1);
  return Promise.all(lab.hosts.map(async (host) => ({ host, server: (await host.ok("expose")).trim() })));
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

/** Runs a command in a container with this server in its resolv.conf, as Docker gives it. */
function withResolver(lab: Lab, container: Namespace, server: string, ...command: string[]) {
  const file = join(lab.folder, `${container.ns}.resolv.conf`);
  writeFileSync(file, `nameserver ${server}\nsearch weave.local.\noptions timeout:2 attempts:3\n`);
  return container.run(
    "unshare",
    "-m",
    "sh",
    "-c",
    `mount --bind ${file} /etc/resolv.conf && exec "$@"`,
    "sh",
    ...command,
  );
}

labTest(
  "a name given on one host is answered on the other at once, by dig, drill and glibc, and not after its container's end",
  { hosts: 2, timeout: 120_000 },
  async (lab) => {
    const [{ host: h1, server: s1 }, { host: h2, server: s2 }] = await launchTwo(lab);
    const app = await h1.container("app");
    const address = (await h1.ok("attach", "--name", "app01", `netns:${app.ns}`)).trim();
    const { container: client } = await h2.attachAny("client");
    const dig = async (...args: string[]) =>
      (await client.must("dig", `@${s2}`, "+time=2", "+tries=2", ...args)).trim();

    await until(
      "the name is known on the other host",
      async () => (await dig("+short", "app01.weave.local")) === address,
    );
    const full = await dig("APP01.weave.local", "A");
    assert.match(full, /status: NOERROR/);
    assert.match(full, /flags: qr aa rd ra;/);
    assert.match(full, new RegExp(`APP01\\.weave\\.local\\.\\s+1\\s+IN\\s+A\\s+${address}`));
    assert.equal(await dig("+short", "-x", address), "app01.weave.local.");
    assert.equal(await dig("+short", "+tcp", "app01"), address);
    assert.match(await dig("app01.weave.local", "AAAA"), /status: NOERROR[\s\S]*ANSWER: 0/);
    assert.match(await dig("unknown.weave.local"), /status: NXDOMAIN/);
    // Flags and options that are seldom seen.
    for (const odd of [
      ["+dnssec"],
      ["+nocookie", "+noedns"],
      ["+bufsize=512"],
      ["+nord"],
      ["+cd", "+ad"],
      ["+subnet=10.0.0.0/8"],
      ["+qid=0"],
      ["-c", "ANY"],
    ])
      assert.equal(await dig("+short", ...odd, "app01.weave.local"), address, odd.join(" "));
    assert.match(await dig("+opcode=update", "app01.weave.local"), /status: NOTIMP/);
    const drillMissing = programMissing("drill", "ldnsutils");
    if (drillMissing === undefined) {
      assert.match(
        (await client.run("drill", `@${s2}`, "app01.weave.local")).stdout,
        new RegExp(`IN\\s+A\\s+${address}`),
      );
    } else console.log(`drill is not tried: ${drillMissing}`);

    // As programs do: the short name, through the search list of resolv.conf.
    const glibc = await withResolver(lab, client, s2, "getent", "ahostsv4", "app01");
    assert.match(glibc.stdout, new RegExp(`^${address}\\s+STREAM app01`));
    const ping = await withResolver(lab, client, s2, "ping", "-c", "1", "-W", "2", "app01");
    assert.match(ping.stdout, / 0% packet loss/);

    assert.equal((await h2.ok("dns-lookup", "app01")).trim(), address);
    assert.equal(await h2.ok("dns-lookup", "unknown"), "");
    assert.equal(await h2.ok("dns-args"), `--dns=${s2} --dns-search=weave.local.`);
    assert.match(
      await h2.ok("status", "dns"),
      new RegExp(`^app01 {8}${address.padEnd(15)} +ns[0-9a-f]+ 02:00:00:00:00:01\\n$`),
    );
    assert.match(
      await h2.ok("status"),
      /Service: dns\n {9}Domain: weave\.local\.\n {7}Upstream: .*\n {12}TTL: 1\n {8}Entries: 1\n/,
    );

    // A name that can be none: nothing is left of the attempt.
    const nameless = await h1.container("nameless");
    const refused = await h1.weave("attach", "--name", "a..b", `netns:${nameless.ns}`);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /"a\.\.b" is no host name/);
    assert.equal((await nameless.run("ip", "link", "show", "ethwe")).code, 1);
    assert.equal((await h1.api("GET", "/ip")).body.split("containerid").length, 3);

    // The container ends: its name goes at once, on both hosts.
    await lab.removeNamespace(app.ns);
    await until("the name is gone", async () => (await dig("+short", "app01.weave.local")) === "", 4_000);
    assert.equal(await h1.ok("status", "dns"), "");
    assert.ok(s1 !== s2);
  },
);

labTest(
  "names by hand: several addresses, one or all taken away, expose with a name, a router's restart and its loss",
  { hosts: 2, timeout: 180_000 },
  async (lab) => {
    const [{ host: h1, server: s1 }, { host: h2 }] = await launchTwo(
      lab,
      "--dns-ttl",
      "7",
      "--dns-domain",
      "test.example",
    );
    const lookup = async (host: Host, name: string) => lines(await host.ok("dns-lookup", name)).sort();
    const { container, address } = await h1.attachAny("c");
    const netns = `netns:${container.ns}`;
    await h1.ok("dns-add", netns, "-h", "web.test.example");
    await h1.ok("dns-add", "192.0.2.7", "192.0.2.8", "-h", "web");
    await h2.ok("dns-add", "192.0.2.9", "-h", "WEB.test.example.");
    const all = [address, "192.0.2.7", "192.0.2.8", "192.0.2.9"].sort();
    for (const host of lab.hosts)
      await until("all are known", async () => (await lookup(host, "web")).join() === all.join());
    assert.match(await container.must("dig", `@${s1}`, "web.test.example"), /web\.test\.example\.\s+7\s+IN\s+A/);
    await h1.ok("dns-add", netns, "-h", "other.domain");
    await h1.ok("dns-remove", "192.0.2.7", "-h", "web.test.example");
    await h1.ok("dns-remove", netns);
    await until("two are left", async () => (await lookup(h2, "web")).join() === "192.0.2.8,192.0.2.9");
    await h1.ok("expose", "-h", "host1");
    await until("the host has a name", async () => (await lookup(h2, "host1")).join() === s1);
    const api = await h1.api("GET", "/name");
    const entries = JSON.parse(api.body) as { Hostname: string; Origin: number; Tombstone: number }[];
    assert.ok(
      entries.some(
        ({ Hostname, Origin, Tombstone }) =>
          Hostname === "host1.test.example." && Origin === 0x020000000001 && Tombstone === 0,
      ),
    );
    assert.equal((await h1.api("GET", "/domain")).body, "test.example.");
    assert.equal((await h1.api("PUT", "/name/c/x?fqdn=a.test.example")).body, "invalid IP Address: x\n");
    assert.equal((await h1.api("PUT", "/name/c/192.0.2.1")).status, 400);
    assert.match((await h1.api("GET", "/metrics")).body, /weave_dns_entries 2\n/);

    // The router dies: its names are kept here, answered because there are no others, and available again when it is.
    const pid = h1.routerPid!;
    process.kill(pid, "SIGKILL");
    await until("h1 is back", () => h1.routerPid !== undefined && h1.routerPid !== pid, 30_000);
    for (const host of lab.hosts) await connected(host, 1, 60_000);
    await until("all is as before", async () => (await lookup(h2, "web")).join() === "192.0.2.8,192.0.2.9", 30_000);
    await h1.ok("hide");
    await until("the host has no name", async () => (await lookup(h2, "host1")).length === 0);
    await h1.ok("stop");
    await until("h1's names are answered last", async () => (await lookup(h2, "web")).join() === "192.0.2.9", 30_000);
    assert.match(await h2.ok("status", "dns"), /192\.0\.2\.8 .* - unreachable!\n/);
  },
);

labTest(
  "DNS off, or its port in use: said, and never in the way",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const other = await h1.background("udp-bind", "53");
    await h1.launch();
    assert.match(
      await h1.ok("status"),
      /Service: dns\n {8}Problem: cannot answer DNS at 0\.0\.0\.0:53: another process uses it Choose another address with --dns-listen-address/,
    );
    const refused = await h1.weave("stop");
    assert.equal(refused.code, 0);
    const explicit = await h1.weave("launch", "--name", h1.peerName, "--dns-listen-address", "0.0.0.0:53");
    assert.equal(explicit.code, 1);
    assert.match(explicit.stderr, /^cannot answer DNS at 0\.0\.0\.0:53: another process uses it\n/);
    await h1.launch("--dns-listen-address", "127.0.0.1:5353");
    assert.equal((await h1.api("GET", "/dns-address-port")).body, "127.0.0.1:5353");
    other.kill();
    await h1.ok("stop");
    await h1.launch("--no-dns");
    assert.equal(await h1.ok("dns-args"), "");
    assert.equal((await h1.weave("dns-lookup", "x")).code, 4);
    assert.equal((await h1.api("GET", "/domain")).status, 404);
    assert.equal((await h1.weave("status", "dns")).stderr, "dns is off on this host\n");
    const container = await h1.container("c");
    assert.match(
      (await h1.weave("attach", "--name", "x", `netns:${container.ns}`)).stderr,
      /weaveDNS is off on this host/,
    );
  },
);

test(
  "musl's resolver finds names too",
  { skip: skip || (programMissing("musl-gcc", "musl-tools") ?? false), timeout: 120_000 },
  () =>
    inLab(2, async (lab) => {
      const [{ host: h1 }, { host: h2, server }] = await launchTwo(lab);
      const app = await h1.container("app");
      const address = (await h1.ok("attach", "--name", "app01", `netns:${app.ns}`)).trim();
      const { container } = await h2.attachAny("c");
      const source = join(lab.folder, "lookup.c");
      writeFileSync(
        source,
        `#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
int main(int argc, char **argv) {
  struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found;
  int error = getaddrinfo(argv[1], NULL, &hints, &found);
  if (error) return puts(gai_strerror(error)), 1;
  for (; found; found = found->ai_next) {
    char text[64];
    inet_ntop(found->ai_family, &((struct sockaddr_in *)found->ai_addr)->sin_addr, text, sizeof text);
    puts(text);
  }
}`,
      );
      const program = join(lab.folder, "lookup");
      await h1.must("musl-gcc", "-static", "-o", program, source);
      for (const name of ["app01", "app01.weave.local"]) {
        let found = "";
        await until(`musl finds ${name}`, async () => {
          found = (await withResolver(lab, container, server, program, name)).stdout;
          return found !== "";
        });
        assert.equal(found, `${address}\n`);
      }
      assert.match(
        (await withResolver(lab, container, server, program, "unknown")).stdout,
        /Name (does not resolve|or service not known|has no usable address)/i,
      );
    }),
);
