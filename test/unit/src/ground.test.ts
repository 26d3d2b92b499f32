import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import * as z from "zod/mini";
import { canonicalIpv6, inSubnets, parseCidr } from "#src/address.js";
import { decode, encode } from "#src/codec.js";
import { ERRORS, type ErrorCode, WeaveError } from "#src/errors.js";
import { httpStatus } from "#src/http/error-status.js";
import { arpAnnouncement } from "#src/linux/links/arp-announcement.js";
import { addressCommands } from "#src/linux/links/links.js";
import { addressesFrom } from "#src/linux/netns/proc-net.js";
import { limited } from "#src/log.js";
import { macFromNumber, macNumber, parseMac } from "#src/mac.js";
import { livePid, writePid } from "#src/pid-file.js";
import { sample } from "#src/random.js";
import { RateLimiter } from "#src/rate-limiter.js";
import { memoryStore } from "#src/store.js";
import { lmdbStore } from "#src/store-lmdb.js";
import { ThrottledTask } from "#src/throttled-task.js";
import { VERSION } from "#src/version.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const folder = mkdtempSync(join(tmpdir(), "weave-unit-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = new URL("../../../../", import.meta.url);

test("the version is that of the package", () => {
  assert.equal(
    VERSION,
    (JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string }).version,
  );
});

test("names are parsed with one run of zeros left out; other text is rejected", () => {
  for (const [text, expected] of [
    ["8A:3e:0:0:0:1", "8a:3e:00:00:00:01"],
    ["::1", "00:00:00:00:00:01"],
    ["1::", "01:00:00:00:00:00"],
    ["1::2:3", "01:00:00:00:02:03"],
  ]) {
    assert.equal(parseMac(text), expected);
  }
  for (const text of ["", "zz", "1:2:3:4:5", "1:2:3:4:5:6:7", "1::2::3", "1:2:3:4:5:6::", "100::", "::", "1.2.3.4"]) {
    if (text !== "::") assert.throws(() => parseMac(text), { code: "WEAVE_PEER_INVALID" }, text);
  }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (value) =>
      assert.equal(macNumber(macFromNumber(value)), value),
    ),
  );
});

test("addresses are dotted quads with a prefix", () => {
  assert.deepEqual(parseCidr("10.32.5.1/12"), {
    address: "10.32.5.1",
    prefix: 12,
    text: "10.32.5.1/12",
    subnet: "10.32.0.0/12",
  });
  for (const text of [
    "10.0.0.1",
    "10.0.0.1/33",
    "10.0.0.256/8",
    "10.0.1/8",
    "::1/64",
    "10.0.0.1/08x",
    "0x7f.0.0.1/8",
    "",
  ]) {
    assert.throws(() => parseCidr(text), { code: "WEAVE_ADDRESS_INVALID" }, text);
  }
  const subnets = [parseCidr("192.168.1.0/24")];
  assert.deepEqual(
    ["192.168.1.200", "192.168.2.1", "fe80::1", "nonsense"].map((host) => inSubnets(host, subnets)),
    [true, false, false, false],
  );
});

test("an interface with a larger MTU than a TAP gets a route with the smaller one", () => {
  assert.deepEqual(addressCommands("10.32.0.1/12", "ethwe", 1_376), ["address replace 10.32.0.1/12 dev ethwe"]);
  assert.match(
    addressCommands("10.32.0.1/12", "ethwe", 65_535)[1],
    /^route replace 10\.32\.0\.0\/12 .* src 10\.32\.0\.1 mtu 65521$/,
  );
});

test("decoding validates: random bytes and wrong shapes throw WEAVE_MESSAGE_MALFORMED and nothing else", () => {
  const shape = z.object({ kind: z.literal("x"), bytes: z.instanceof(Uint8Array) });
  const value = { kind: "x" as const, bytes: Uint8Array.of(1, 2) };
  assert.deepEqual([...decode(shape, encode(value), "a message").bytes], [1, 2]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decode(shape, bytes, "a message");
      } catch (error) {
        assert.ok(error instanceof WeaveError && error.code === "WEAVE_MESSAGE_MALFORMED");
      }
    }),
    { numRuns: 2_000 },
  );
});

test("every error has a meaning, an exit status and an HTTP status that make sense", () => {
  for (const [code, { exit, meaning }] of Object.entries(ERRORS)) {
    const http = httpStatus(new WeaveError(code as ErrorCode, ""));
    assert.ok(http >= 400 && http < 600 && exit >= 1 && exit <= 125, code);
    assert.match(meaning, /^[A-Z].{10,140}\.$/, code);
  }
  assert.deepEqual(Object.keys(ERRORS), Object.keys(ERRORS).sort());
  assert.equal(httpStatus(new Error("of another kind")), 500);
  assert.equal(new WeaveError("WEAVE_API", "what", { next: "do this" }).text, "what\ndo this");
});

test("a source gets its burst, then its rate; other sources are unaffected", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 20, burst: 20 });
  const admitted = () => Array.from({ length: 100 }, () => limiter.admit("a")).filter(Boolean).length;
  assert.equal(admitted(), 20);
  assert.ok(limiter.admit("b"));
  await clock.run(500);
  assert.equal(admitted(), 10);
});

test("a burst of requests causes one immediate run and one later run", async () => {
  const clock = new VirtualClock();
  const runs: number[] = [];
  const coalescer = new ThrottledTask(clock, 50, () => void runs.push(clock.now()));
  for (let i = 0; i < 10; i++) coalescer.request();
  await clock.run(1_000);
  assert.deepEqual(runs, [0, 50]);
  coalescer.request();
  coalescer.request();
  coalescer.cancel();
  await clock.run(1_000);
  assert.deepEqual(runs, [0, 50, 1_000]);
});

test("repeated warnings are suppressed, and counted in the next one that passes", async () => {
  const clock = new VirtualClock();
  const lines: (object | undefined)[] = [];
  const log = limited(
    { debug() {}, info() {}, error() {}, warn: (_message, fields) => void lines.push(fields) },
    clock,
  );
  for (let i = 0; i < 100; i++) log.warn("the same", { i });
  assert.equal(lines.length, 10);
  await clock.run(1_000);
  log.warn("the same", { i: 100 });
  assert.deepEqual(lines.at(-1), { i: 100, repeated: 90 });
});

test("a sample has different members, and at most all of them", () => {
  const picked = sample(seededRandom(1), [1, 2, 3, 4, 5], 3);
  assert.equal(new Set(picked).size, 3);
  assert.equal(sample(seededRandom(1), [1], 3).length, 1);
});

test("a pid file identifies one process, and not a later one with the same id", () => {
  const path = join(folder, "pid");
  writePid(path, process.pid);
  assert.equal(livePid(path), process.pid);
  writeFileSync(path, JSON.stringify({ pid: process.pid, started: "1" }));
  assert.equal(livePid(path), undefined);
  writeFileSync(path, "rubbish");
  assert.equal(livePid(path), undefined);
  assert.equal(livePid(join(folder, "none")), undefined);
});

test("both stores keep values, drop removed ones, and return copies", async () => {
  for (const store of [memoryStore(), lmdbStore(join(folder, "both.db"))]) {
    const value = { list: [1, 2], bytes: Uint8Array.of(3) };
    store.put("a", value);
    value.list.push(3);
    assert.deepEqual((store.get("a") as { list: number[] }).list, [1, 2]);
    store.remove("a");
    assert.equal(store.get("a"), undefined);
    store.put("gone", 1);
    store.change([
      ["p/1", 1],
      ["p/2", 2],
      ["gone", undefined],
    ]);
    assert.deepEqual(store.list("p/"), [
      ["p/1", 1],
      ["p/2", 2],
    ]);
    assert.equal(store.get("gone"), undefined);
    await store.close();
  }
});

test("a database of a newer format, and a file that is no database, are rejected with the next step", async () => {
  const path = join(folder, "newer.db");
  const store = lmdbStore(path);
  store.put("format", 99);
  await store.close();
  assert.throws(
    () => lmdbStore(path),
    (error: WeaveError) =>
      error.code === "WEAVE_STORE" &&
      /in format 99; this is weave .*, which knows format 1/.test(error.message) &&
      error.next !== undefined,
  );
  const half = join(folder, "half.db");
  const whole = lmdbStore(half);
  for (let i = 0; i < 200; i++) whole.put(`key ${i}`, "x".repeat(300));
  await whole.close();
  const bytes = readFileSync(half);
  // Without the check LMDB ends the process (SIGBUS).
  writeFileSync(half, bytes.subarray(0, bytes.length / 2));
  assert.throws(() => lmdbStore(half), /it is damaged: it has \d+ bytes of \d+/);
  // Each leaf page loses its last entry (MDB_page in mdb.c: the flags, and the end of the list of entries).
  for (let page = 2 * 4_096; page < bytes.length; page += 4_096) {
    const lower = bytes.readUInt16LE(page + 20);
    if (bytes.readUInt16LE(page + 18) === 2 && lower > 4) bytes.writeUInt16LE(lower - 2, page + 20);
  }
  writeFileSync(half, bytes);
  rmSync(`${half}-lock`);
  assert.throws(() => lmdbStore(half), /it is damaged: \d+ of \d+ entries are left/);
  const rubbish = join(folder, "rubbish.db");
  writeFileSync(rubbish, Buffer.alloc(100_000, 7));
  assert.throws(() => lmdbStore(rubbish), { code: "WEAVE_STORE" });
  writeFileSync(join(folder, "file"), "");
  assert.throws(() => lmdbStore(join(folder, "file", "x.db")), { code: "WEAVE_STORE" });
});

test("every write that returned survives kill -9", { timeout: 60_000 }, async () => {
  const path = join(folder, "killed.db");
  const program = `
    const { lmdbStore } = await import(${JSON.stringify(new URL("dist/src/store-lmdb.js", root).href)});
    const store = lmdbStore(${JSON.stringify(path)});
    for (let i = 1; ; i++) { store.put("count", i); if (i % 10 === 0) await new Promise((r) => process.stdout.write(i + "\\n", r)); }`;
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk: Buffer) => {
        output += chunk;
        if (output.split("\n").length > 20) resolve();
      });
    });
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    const reported = Number(
      output
        .trimEnd()
        .split("\n")
        .filter((line) => /^\d+$/.test(line))
        .at(-1),
    );
    const store = lmdbStore(path);
    assert.ok((store.get("count") as number) >= reported - 9, `${store.get("count")} after ${reported}`);
    await store.close();
  }
});

test("addresses of an interface are read from /proc as the kernel writes it", () => {
  const trie = [
    "Main:",
    "  +-- 0.0.0.0/0 3 0 5",
    "     |-- 10.32.0.0",
    "        /12 link UNICAST",
    "Local:",
    "  +-- 0.0.0.0/0 3 0 5",
    "     |-- 10.32.0.1",
    "        /32 host LOCAL",
    "     |-- 10.2.1.7",
    "        /32 host LOCAL",
    "     |-- 127.0.0.1",
    "        /32 host LOCAL",
    "     |-- 172.17.0.2",
    "        /32 host LOCAL",
    "     |-- 10.47.255.255",
    "        /32 link BROADCAST",
  ].join("\n");
  const route = (device: string, network: string, gateway: string, mask: string) =>
    [device, network, gateway, "0001", "0", "0", "0", mask, "0", "0", "0"].join("\t");
  const routes = [
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
    route("eth0", "00000000", "010011AC", "00000000"),
    route("ethwe", "0000200A", "00000000", "0000F0FF"),
    route("ethwe", "0001020A", "00000000", "00FFFFFF"),
    route("eth0", "000011AC", "00000000", "0000FFFF"),
    route("ethwe", "000000E0", "00000000", "000000F0"),
  ].join("\n");
  assert.deepEqual(addressesFrom(trie, routes, "ethwe"), ["10.32.0.1/12", "10.2.1.7/24"]);
  assert.deepEqual(addressesFrom(trie, routes, "eth0"), ["172.17.0.2/16"]);
  assert.deepEqual(addressesFrom(trie, routes, "eth1"), []);
});

test("an ARP announcement names the address and the MAC as sender and as target (RFC 5227)", () => {
  const frame = Buffer.from(arpAnnouncement("10.32.0.7", "0a:57:0a:20:00:07")).toString("hex");
  const arp = "0001080006040001";
  assert.equal(frame, `ffffffffffff0a570a2000070806${arp}0a570a2000070a2000070000000000000a200007`);
});

test("each IPv6 address has one form; other text has none", () => {
  const forms = ["fd00:90::2", "FD00:0090:0:0::0002", "::ffff:10.0.0.1", "10.0.0.1", "fe80::1%eth0", "fd00::/64", ""];
  assert.deepEqual(forms.map(canonicalIpv6), [
    "fd00:90::2",
    "fd00:90::2",
    "::ffff:a00:1",
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
