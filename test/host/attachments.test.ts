import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

/** Addresses of a container's interface, in CIDR notation; none when it has no interface. */
async function addressesOf(container: Namespace): Promise<string[]> {
  const { stdout } = await container.run("ip", "-o", "-4", "address", "show", "dev", "ethwe");
  return [...stdout.matchAll(/inet (\S+)/g)].map(([, cidr]) => cidr).sort();
}

/** Every step of an attachment is there: addresses, the route for multicast, and the last step's flag. */
async function isComplete(container: Namespace): Promise<boolean> {
  const link = (await container.run("ip", "link", "show", "dev", "ethwe")).stdout;
  const routes = (await container.run("ip", "route", "show")).stdout;
  return (await addressesOf(container)).length > 0 && /[<,]DYNAMIC[,>]/.test(link) && /224\.0\.0\.0\/4/.test(routes);
}

/** Addresses that are allocated, of all holders. */
async function allocated(host: Host): Promise<string[]> {
  const { owned } = JSON.parse((await host.api("GET", "/ip")).body) as { owned: { addrs: string[] }[] };
  return owned.flatMap(({ addrs }) => addrs).sort();
}

labTest(
  "attaches and detaches of one namespace at the same time happen one after another",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=1");
    const container = await h1.container("a");
    const target = `netns:${container.ns}`;
    const same = await Promise.all(Array.from({ length: 4 }, () => h1.weave("attach", target)));
    const [first] = same;
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    for (const each of same) assert.deepEqual(each, first, "all have the one address");
    assert.equal((await addressesOf(container)).length, 1);
    for (let round = 0; round < 4; round++) {
      const words = ["attach", "detach", "attach", "detach", "attach"].slice(0, 4 + (round % 2));
      const results = await Promise.all(words.map((word) => h1.weave(word, target)));
      assert.deepEqual(
        results.map(({ code, stderr }) => [code, stderr]),
        words.map(() => [0, ""]),
      );
      // In whatever order they came: what is held is what the interface has.
      assert.deepEqual(await allocated(h1), await addressesOf(container));
    }
    await h1.ok("attach", target);
    assert.ok(await isComplete(container));
    // Different namespaces do not wait for one another, and none gets another's address.
    const others = await Promise.all(["b", "c", "d"].map((name) => h1.attachAny(name)));
    assert.equal(new Set(others.map(({ address }) => address)).size, 3);
  },
);

labTest(
  "an attachment that fails late leaves nothing: no address, no interface, no name",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=1");
    await h1.ok("prime");
    const container = await h1.container("a");
    const target = `netns:${container.ns}`;
    await h1.must("ip", "link", "delete", "dev", "weave");
    const failed = await h1.weave("attach", target, "--name", "app");
    assert.equal(failed.code, 1);
    assert.notEqual(failed.stderr, "");
    assert.deepEqual([await allocated(h1), await addressesOf(container)], [[], []]);
    assert.doesNotMatch((await h1.weave("status", "dns")).stdout, /app/);
    await until(
      "the bridge is back",
      async () => (await h1.run("ip", "link", "show", "dev", "weave")).code === 0,
      30_000,
    );
    // With an address before, which it keeps, and one more that is refused: another holder has it.
    const kept = (await h1.ok("attach", target)).trim();
    await h1.ok("expose", "10.32.7.7/12");
    const refused = await h1.weave("attach", "10.32.7.6/12", "10.32.7.7/12", target);
    assert.match(refused.stderr, /^Unable to claim: address 10\.32\.7\.7 is already owned by weave:expose/);
    assert.deepEqual(await addressesOf(container), [`${kept}/12`]);
    assert.deepEqual(await allocated(h1), [`${kept}/12`, "10.32.7.7/12"].sort());
    assert.ok(await isComplete(container));
  },
);

labTest(
  "a client that goes away cancels its wait for an address, and the next one in line is served",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    // Alone it is no majority of three: there is no first division, and every address waits.
    await h1.launch("--ipalloc-init", "consensus=3");
    const container = await h1.container("a");
    const target = `netns:${container.ns}`;
    const waiting = async () => (await h1.api("GET", "/ipinfo/waiting")).body;
    const [program, ...words] = [process.execPath, "-e", ATTACH_RAW, `${h1.runDir}/control.sock`, target];
    const child = h1.spawn([program, ...words]);
    await until("it waits", async () => (await waiting()) !== "", 20_000);
    // The second waits for its turn; it has a limit of its own, which begins with its turn: the wait for that is limited, too.
    const second = h1.weave("attach", "--timeout", "1", target);
    await sleep(500);
    child.kill("SIGKILL");
    const { code, stderr } = await second;
    assert.equal(code, 1);
    assert.match(stderr, /after 1 s it still waits for/);
    assert.equal(await waiting(), "");
    assert.deepEqual([await allocated(h1), await addressesOf(container)], [[], []]);
  },
);

labTest(
  "a request with a limit ends in time behind one that waits for an address without a limit",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=3");
    const container = await h1.container("a");
    const target = `netns:${container.ns}`;
    const child = h1.spawn([process.execPath, "-e", ATTACH_RAW, `${h1.runDir}/control.sock`, target]);
    await until("it waits", async () => (await h1.api("GET", "/ipinfo/waiting")).body !== "", 20_000);
    const { code, stderr } = await h1.weave("attach", "10.2.1.1/24", "--timeout", "1", target);
    assert.equal(code, 1);
    assert.match(stderr, /: after 5 s another request for it is still in progress\n/);
    assert.deepEqual([await allocated(h1), await addressesOf(container)], [[], []]);
    child.kill("SIGKILL");
  },
);

labTest(
  "ps lists this host whatever WEAVE_HTTP_ADDR is, and while the router hangs",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=1");
    await h1.attachAny("a");
    const listed = await h1.weave("ps");
    assert.match(listed.stdout, /10\.32\.0\.1\/12/);
    assert.deepEqual(await h1.weaveWith({ WEAVE_HTTP_ADDR: "127.0.0.1:6789" }, "ps"), listed);
    const router = h1.routerPid!;
    process.kill(router, "SIGSTOP");
    try {
      assert.deepEqual(await h1.weave("ps"), listed);
    } finally {
      process.kill(router, "SIGCONT");
    }
  },
);

/** A client of the API that waits: SOCKET TARGET. */
const ATTACH_RAW = `
const [socketPath, target] = process.argv.slice(1);
require("node:http").request({ socketPath, method: "POST", path: "/attachments/" + encodeURIComponent(target) }).end();
`;

labTest(
  "a router that is killed in the middle of an attachment leaves none that a repeated attach does not complete",
  { hosts: 1, timeout: 240_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=1");
    await h1.ok("prime");
    for (const delay of [0, 20, 40, 70, 110]) {
      const container = await h1.container(`k${delay}`);
      const target = `netns:${container.ns}`;
      const child = h1.spawn([process.execPath, "-e", ATTACH_RAW, `${h1.runDir}/control.sock`, target]);
      await sleep(60 + delay);
      process.kill(h1.routerPid!, "SIGKILL");
      await until("the router is back", async () => (await h1.weave("status")).code === 0, 30_000);
      child.kill();
      const address = (await h1.ok("attach", target)).trim();
      assert.deepEqual(await addressesOf(container), [`${address}/12`], `killed after ${delay} ms`);
      assert.ok(await isComplete(container), `killed after ${delay} ms`);
      assert.ok((await allocated(h1)).includes(`${address}/12`));
      const pair = (await h1.must("bridge", "-d", "link", "show"))
        .split("\n")
        .filter((line) => line.includes("vethwepl"));
      assert.equal(pair.length > 0, true);
    }
    const list = await h1.ok("ps");
    assert.equal(list.trim().split("\n").length, 6, list);
  },
);

labTest(
  "the API of attachments: who may use it, what it answers, and what it refuses",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=1", "--status-addr", "127.0.0.1:6782");
    const container = await h1.container("a");
    const path = `/attachments/${encodeURIComponent(`netns:${container.ns}`)}`;
    const made = await h1.api("POST", `${path}?address=net:default&address=10.32.0.7/12`);
    assert.deepEqual(
      [made.status, JSON.parse(made.body)],
      [200, { addresses: ["10.32.0.1/12", "10.32.0.7/12"], warnings: [] }],
    );
    const info = JSON.parse((await h1.api("GET", path)).body);
    assert.deepEqual([info.container, info.addresses.sort()], [false, ["10.32.0.1/12", "10.32.0.7/12"]]);
    const { attachments } = JSON.parse((await h1.api("GET", "/attachments")).body);
    assert.deepEqual(
      attachments.map(({ id }: { id: string }) => id),
      ["weave:expose", container.ns.length <= 12 ? container.ns : info.ident],
    );
    for (const [call, status, why] of [
      [`POST ${path}?address=nonsense`, 400, /"nonsense" is no address/],
      [`POST ${path}?timeout=-1`, 400, /invalid timeout/],
      [`POST ${path}?${"address=10.32.0.9/12&".repeat(300)}`, 400, /more than 256 values of address/],
      [`POST ${path}?rewrite-hosts=true`, 500, /a namespace has no \/etc\/hosts/],
      [`POST ${path}?name=a..b`, 400, /a\.\.b/],
      [`DELETE ${path}?address=nonsense`, 400, /is no address/],
      ["POST /attachments/netns:none", 404, /network namespace netns:none not found/],
      ["POST /attachments/netns:..%2Fx", 404, /invalid name of a network namespace/],
      ["POST /attachments/%2Fetc%2Fpasswd", 404, /\/etc\/passwd is no network namespace/],
      [`POST /attachments/${h1.routerPid}?address=10.32.0.9/12`, 404, /host network namespace/],
      [`GET /attachments/${"x".repeat(5_000)}`, 404, /too long/],
      [`PUT ${path}`, 405, /Not Allowed/],
    ] as const) {
      const [method, url] = call.split(" ");
      const reply = await h1.api(method, url);
      assert.equal(reply.status, status, `${call.slice(0, 80)}: ${reply.body}`);
      assert.match(reply.body, why);
    }
    assert.deepEqual(await addressesOf(container), ["10.32.0.1/12", "10.32.0.7/12"], "as before");
    const status = async (method: string, url: string) =>
      (await h1.must("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, url)).trim();
    for (const [method, url] of [
      ["GET", "/attachments"],
      ["GET", path],
      ["POST", path],
      ["DELETE", path],
    ]) {
      assert.equal(await status(method, `http://127.0.0.1:6784${url}`), "403", `${method} by TCP without the token`);
      assert.equal(await status(method, `http://127.0.0.1:6782${url}`), "404", `${method} at the status port`);
    }
    const gone = await h1.api("DELETE", `${path}?address=net:default&address=10.32.0.7/12`);
    assert.equal(gone.status, 200);
    assert.deepEqual([await addressesOf(container), await allocated(h1)], [[], []]);
  },
);

labTest(
  "of several addresses in one network one alone is taken away, from a container and from the host",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=1");
    const container = await h1.container("a");
    const target = `netns:${container.ns}`;
    const all = ["10.32.0.7/12", "10.32.0.8/12", "10.32.0.9/12"];
    await h1.ok("attach", ...all, target);
    assert.equal(await h1.ok("detach", "10.32.0.7/12", target), "10.32.0.7\n");
    assert.deepEqual([await addressesOf(container), await allocated(h1)], [all.slice(1), all.slice(1)]);
    assert.equal((await container.run("ip", "route", "get", "10.32.0.1")).code, 0, "the route to the network is there");
    assert.equal(await h1.ok("detach", "net:default", target), "10.32.0.8 10.32.0.9\n");
    assert.deepEqual([await addressesOf(container), await allocated(h1)], [[], []]);
    const exposed = ["10.32.1.7/12", "10.32.1.8/12", "10.32.1.9/12"];
    await h1.ok("expose", ...exposed);
    await h1.ok("hide", exposed[0]);
    const onBridge = async () => (await h1.ok("ps", "weave:expose")).trim().split(" ").slice(2).sort();
    assert.deepEqual(await onBridge(), exposed.slice(1));
    await h1.ok("hide", ...exposed.slice(1));
    assert.deepEqual([await onBridge(), await allocated(h1)], [[], []]);
  },
);

/** Attaches as the Docker integration does, by the first process of a container: NETNS PID CIDR. */
const ATTACH_BY_PID = `
import { statSync } from "node:fs";
import { Attachments } from ${JSON.stringify(new URL("../../router/attachments/attachments.js", import.meta.url).href)};
import { BusyHolders } from ${JSON.stringify(new URL("../../router/attachments/busy-holders.js", import.meta.url).href)};
const [path, pid, cidr] = process.argv.slice(1);
const log = { debug() {}, info() {}, warn: console.error, error: console.error };
const deps = { ipam: undefined, names: undefined, exposure: undefined, busy: new BusyHolders(), connectedHosts: () => [], log };
await new Attachments(deps, { bridge: "weave", mtu: 1376 }).attach({
  ident: "c", netns: { path, inode: statSync(path).ino }, pid: Number(pid), wanted: [{ kind: "ip", cidr }],
  multicastRoute: true, hostsFile: undefined, timeoutMs: undefined, signal: new AbortController().signal,
});
`;

labTest(
  "an attachment that was cut off after its addresses is completed while the container waits for it",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-range=");
    const container = await h1.container("a");
    copyFileSync("/bin/sleep", `${h1.folder}/w`);
    chmodSync(`${h1.folder}/w`, 0o755);
    const cidr = "10.32.0.7/12";
    /** Attaches again, by a process of a given program; then what the interface lacked before may be there again. */
    const attachAgain = async (program: string): Promise<boolean> => {
      const { pid } = container.spawn([program, "60"]);
      await until(
        "the program runs",
        async () => readFileSync(`/proc/${pid}/comm`, "utf8").trim() === basename(program),
      );
      const attach = () =>
        h1.must(
          process.execPath,
          "--input-type=module",
          "-e",
          ATTACH_BY_PID,
          `/run/netns/${container.ns}`,
          `${pid}`,
          cidr,
        );
      await attach();
      await container.must("ip", "link", "set", "dev", "ethwe", "dynamic", "off");
      await container.must("ip", "route", "delete", "224.0.0.0/4");
      assert.deepEqual([await addressesOf(container), await isComplete(container)], [[cidr], false]);
      await attach();
      return isComplete(container);
    };
    assert.ok(await attachAgain(`${h1.folder}/w`), "the container waits");
    await h1.ok("detach", cidr, `netns:${container.ns}`);
    assert.ok(
      !(await attachAgain("/bin/sleep")),
      "the program runs: the router has restarted, and leaves all as it is",
    );
  },
);

labTest(
  "the list of attachments runs programs only in namespaces that are attached",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1], folder }) => {
    const [programs, calls] = [join(folder, "programs"), join(folder, "calls")];
    mkdirSync(programs);
    const nsenter = (await h1.must("sh", "-c", "command -v nsenter")).trim();
    writeFileSync(join(programs, "nsenter"), `#!/bin/sh\necho "$1" >>${calls}\nexec ${nsenter} "$@"\n`, {
      mode: 0o755,
    });
    const launch = ["launch", "--name", h1.peerName];
    const { code, stderr } = await h1.weaveVia(["env", `PATH=${programs}:${process.env.PATH}`], ...launch);
    assert.equal(code, 0, stderr);
    const { container } = await h1.attachAny("a");
    // A host has many namespaces that are none of weave's business; this one is not attached.
    await h1.container("b");
    writeFileSync(calls, "");
    const lines = (await h1.ok("ps")).trimEnd().split("\n");
    assert.equal(lines.length, 2, `the host and the container: ${lines}`);
    assert.equal(readFileSync(calls, "utf8"), `--net=/run/netns/${container.ns}\n`);
  },
);
