import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { wantedAddresses } from "#docker/addresses/weave-cidr.js";
import { fqdnOf } from "#docker/containers/container-names.js";
import { failedWithoutPlugin } from "#docker/containers/failed-containers.js";
import { rewriteCommit } from "#docker/proxy/commit-call.js";
import { type CreateLookups, rewriteCreate } from "#docker/proxy/create-call.js";
import type { CreateSettings } from "#docker/proxy/create-rewrite.js";
import { type JsonObject, parseExact, stringifyExact } from "#docker/proxy/json.js";
import { parseHostname, parseListen } from "#docker/proxy/proxy-options.js";
import { isWrapped } from "#docker/wait/wrapped.js";

const settings: CreateSettings = {
  helper: "/var/lib/weave/w",
  defaultIpalloc: true,
  dns: { address: "172.17.0.1", domain: "weave.local." },
  hostnameFromLabel: "",
  toHostname: (name) => name,
};

const lookups: CreateLookups = {
  image: async () => ({ Config: { Entrypoint: ["/entry"], Cmd: ["image", "command"], Volumes: {} } }),
  network: async (name) => ({ ours: ["weave", "closed"].includes(name), internal: name === "closed" }),
  userNamespaces: async () => false,
  ignoresDomain: () => false,
  rootless: async () => false,
};

const create = async (body: JsonObject, name = "web", more: Partial<CreateSettings & CreateLookups> = {}) =>
  (await rewriteCreate({ Image: "x", ...body }, name, { ...settings, ...more }, { ...lookups, ...more })).body;

test("a new container gets the helper, a host name and name servers beside the user's settings", async () => {
  assert.deepEqual(await create({ Cmd: ["run"], Env: ["A=1"], HostConfig: { Memory: 5 } }), {
    Image: "x",
    Env: ["A=1"],
    Entrypoint: ["/.weave/w", "/entry"],
    Cmd: ["run"],
    Hostname: "web",
    Domainname: "weave.local",
    HostConfig: { Memory: 5, Binds: ["/var/lib/weave/w:/.weave:ro"], Dns: ["172.17.0.1"], DnsSearch: ["weave.local."] },
  });
  const given = await create({
    Hostname: "own.example",
    HostConfig: { Binds: ["/data:/data", "/old:/w"], Dns: ["9.9.9.9"], DnsSearch: ["example"] },
  });
  assert.equal(given?.Hostname, "own.example");
  assert.equal(given?.Domainname, undefined);
  assert.deepEqual(given?.HostConfig, {
    Binds: ["/data:/data", "/old:/w", "/var/lib/weave/w:/.weave:ro"],
    Dns: ["9.9.9.9", "172.17.0.1"],
    DnsSearch: ["example"],
  });
  const unnamed = await create({}, "");
  assert.equal(unnamed?.Hostname, undefined);
  assert.deepEqual((unnamed!.HostConfig as JsonObject).DnsSearch, ["weave.local."]);
});

test("short names are searched in the container's sub-domain first, then in our domain", async () => {
  const search = async (body: JsonObject) => ((await create(body))!.HostConfig as JsonObject).DnsSearch;
  const both = ["sub1.weave.local.", "weave.local."];
  assert.deepEqual(await search({ Hostname: "foo.sub1.weave.local" }), both);
  assert.deepEqual(await search({ Hostname: "foo", Domainname: "sub1.weave.local." }), both);
  assert.deepEqual(await search({ Hostname: "foo.sub1.weave.local", HostConfig: { NetworkMode: "weave" } }), both);
  for (const Hostname of ["foo", "foo.weave.local", "foo.elsewhere.example", "foo.notweave.local"])
    assert.deepEqual(await search({ Hostname }), ["weave.local."], Hostname);
});

test("entrypoints and commands follow Docker's rules", async () => {
  const cases: [JsonObject, string[], string[]][] = [
    [{}, ["/.weave/w", "/entry"], ["image", "command"]],
    [{ Cmd: ["x"] }, ["/.weave/w", "/entry"], ["x"]],
    [{ Cmd: "one" }, ["/.weave/w", "/entry"], ["one"]],
    [{ Entrypoint: ["mine"] }, ["/.weave/w", "mine"], []],
    [{ Entrypoint: "mine", Cmd: ["x"] }, ["/.weave/w", "mine"], ["x"]],
    [{ Entrypoint: [""], Cmd: ["x"] }, ["/.weave/w"], ["x"]],
    // A copy of a container that our proxy or Weave Net's created.
    [{ Entrypoint: ["/.weave/w", "mine"] }, ["/.weave/w", "mine"], []],
    [{ Entrypoint: ["/w/w", "mine"] }, ["/.weave/w", "mine"], []],
  ];
  for (const [given, entrypoint, command] of cases) {
    const body = await create(given);
    assert.deepEqual([body?.Entrypoint, body?.Cmd], [entrypoint, command], JSON.stringify(given));
  }
});

test("the helper avoids the paths of the container's own mounts and volumes", async () => {
  const image = async () => ({ Config: { Entrypoint: [], Cmd: ["x"], Volumes: { "/.weave": {} } } });
  const cases: [JsonObject, string][] = [
    [{}, "/.weave1"],
    [{ Volumes: { "/.weave1/deep": {} } }, "/.weave2"],
    [
      { HostConfig: { Binds: ["data:/.weave1/:rw"], Mounts: [{ Target: "/.weave2" }], Tmpfs: { "/.weave3": "" } } },
      "/.weave4",
    ],
  ];
  for (const [body, folder] of cases) {
    const changed = await create(body, "web", { image });
    assert.deepEqual(changed?.Entrypoint, [`${folder}/w`]);
    assert.ok(((changed!.HostConfig as JsonObject).Binds as string[]).includes(`/var/lib/weave/w:${folder}:ro`));
  }
});

test("an image or a copy of a proxy's container runs, on our network or not", async () => {
  const image = async () => ({ Config: { Entrypoint: ["/w/w", "/entry"], Cmd: ["c"], Volumes: {} } });
  assert.deepEqual((await create({}, "web", { image }))?.Entrypoint, ["/.weave/w", "/entry"]);
  const alone = await create({ HostConfig: { NetworkMode: "host" } }, "web", { image });
  assert.deepEqual(alone, { Image: "x", Entrypoint: ["/entry"], Cmd: ["c"], HostConfig: { NetworkMode: "host" } });
  const copy = await create({ Entrypoint: ["/w/w", "mine"], HostConfig: { Binds: ["/volume:/w:ro", "/a:/b"] } });
  assert.deepEqual((copy!.HostConfig as JsonObject).Binds, ["/a:/b", "/var/lib/weave/w:/.weave:ro"]);
});

test("a commit of a proxy's container has the container's own entrypoint, or the user's", () => {
  const container = (Entrypoint: string[], Binds = ["/var/lib/weave/w:/.weave:ro"]) => ({
    Config: { Entrypoint, Cmd: ["c"] },
    HostConfig: { Binds },
  });
  const ours = container(["/.weave/w", "/entry"]);
  assert.deepEqual(rewriteCommit({ Env: ["A=1"] }, ours), { Env: ["A=1"], Entrypoint: ["/entry"], Cmd: ["c"] });
  assert.deepEqual(rewriteCommit({ Cmd: ["own"] }, container(["/.weave/w"])), { Entrypoint: [], Cmd: ["own"] });
  assert.deepEqual(rewriteCommit({ Entrypoint: ["/.weave/w", "x"] }, ours)?.Entrypoint, ["x"]);
  assert.equal(rewriteCommit({ Entrypoint: ["own"] }, ours), undefined);
  assert.equal(rewriteCommit({}, container(["/entry"])), undefined);
  assert.equal(rewriteCommit({}, container(["/w/w", "x"], ["/own:/elsewhere"])), undefined, "a program of its own");
});

test("warnings: other name servers first, WEAVE_CIDR without effect, an internal network", async () => {
  const warnings = async (body: JsonObject) =>
    (await rewriteCreate({ Image: "x", ...body }, "web", settings, lookups)).warnings;
  assert.deepEqual(await warnings({}), []);
  assert.deepEqual(await warnings({ HostConfig: { Dns: ["172.17.0.1", "8.8.8.8"] } }), []);
  assert.match(
    String(await warnings({ HostConfig: { Dns: ["8.8.8.8"] } })),
    /queries 8\.8\.8\.8 \(--dns\) before weaveDNS/,
  );
  for (const NetworkMode of ["mine", "host", "weave", "container:x"]) {
    const HostConfig = { NetworkMode };
    assert.match(String(await warnings({ Env: ["WEAVE_CIDR=10.2.1.1/24"], HostConfig })), /WEAVE_CIDR has no effect/);
    assert.deepEqual(await warnings({ Env: ["WEAVE_CIDR=none"], HostConfig }), []);
    assert.deepEqual(await warnings({ HostConfig }), []);
  }
  assert.match(String(await warnings({ HostConfig: { NetworkMode: "closed" } })), /do not resolve on closed/);
  assert.deepEqual(await warnings(onNetworks("closed", "mine")), [], "its other network forwards queries");
});

/** A description of a container on several networks, the first of which is the mode's. */
const onNetworks = (...names: string[]): JsonObject => ({
  HostConfig: { NetworkMode: names[0] },
  NetworkingConfig: { EndpointsConfig: Object.fromEntries(names.map((name) => [name, {}])) },
});

test("a container with our network among several uses weaveDNS", async () => {
  const dnsOf = async (body: JsonObject) => ((await create(body))?.HostConfig as JsonObject | undefined)?.Dns;
  assert.deepEqual(await dnsOf(onNetworks("mine", "weave")), ["172.17.0.1"]);
  assert.deepEqual(await dnsOf(onNetworks("weave", "mine")), ["172.17.0.1"]);
  assert.equal(await dnsOf(onNetworks("mine", "other")), undefined);
});

test("a container by which Compose replaces another one has its name as host name, without the id of the other one", async () => {
  const Labels = { "com.docker.compose.project": "shop" };
  const hostOf = async (name: string, body: JsonObject) => (await create(body, name))?.Hostname;
  assert.equal(await hostOf("a4fa4d17e637_shop-web-1", { Labels }), "shop-web-1");
  assert.equal(await hostOf("a4fa4d17e637_shop-web-1", {}), "a4fa4d17e637_shop-web-1", "not by Compose");
  for (const name of ["shop-web-1", "a4fa4d17e637_", "a4fa4d17e63_web"])
    assert.equal(await hostOf(name, { Labels }), name);
});

test("in a user namespace the host name contains the domain, which cannot be set there", async () => {
  const userNamespaces = async () => true;
  const mapped = await create({}, "web", { userNamespaces });
  assert.deepEqual([mapped?.Hostname, mapped?.Domainname], ["web.weave.local", undefined]);
  const host = await create({ HostConfig: { UsernsMode: "host" } }, "web", { userNamespaces });
  assert.deepEqual([host?.Hostname, host?.Domainname], ["web", "weave.local"]);
  // Podman has no domain beside the host name.
  const podman = await create({ HostConfig: { UsernsMode: "host" } }, "web", { ignoresDomain: () => true });
  assert.deepEqual([podman?.Hostname, podman?.Domainname], ["web.weave.local", undefined]);
  const hostOf = async (body: JsonObject) => (await create(body, "web", { ignoresDomain: () => true }))?.Hostname;
  assert.equal(await hostOf({ Hostname: "db", Domainname: "weave.local" }), "db.weave.local");
  assert.equal(await hostOf({ Hostname: "db.example", Domainname: "weave.local" }), "db.example");
  assert.equal(await hostOf({ Hostname: "db" }), "db");
  assert.equal(await hostOf({ Hostname: "d".repeat(60), Domainname: "weave.local" }), "d".repeat(60), "too long");
});

test("a container of rootless Podman is left alone, with a warning", async () => {
  const rootless = async () => true;
  const { body, warnings } = await rewriteCreate({ Image: "x" }, "web", settings, { ...lookups, rootless });
  assert.equal(body, undefined);
  assert.match(warnings.join(), /does not serve rootless Podman.*weave attach/);
});

test("unchanged: other networks, WEAVE_CIDR=none, no default, nothing to run, a missing image", async () => {
  for (const mode of ["host", "container:x", "mine"])
    assert.equal(await create({ HostConfig: { NetworkMode: mode } }), undefined, mode);
  for (const mode of ["", "default", "bridge", "none"])
    assert.ok(await create({ HostConfig: { NetworkMode: mode } }), mode);
  assert.equal(await create({ Env: ["WEAVE_CIDR=none"] }), undefined);
  assert.equal(await create({}, "web", { defaultIpalloc: false }), undefined);
  assert.ok(await create({ Env: ["WEAVE_CIDR=10.2.1.1/24"] }, "web", { defaultIpalloc: false }));
  assert.equal(await create({}, "web", { image: async () => ({ Config: null }) }), undefined);
  assert.equal(await create({}, "web", { image: () => Promise.reject(new Error("No such image")) }), undefined);
  await assert.rejects(create({ Env: ["WEAVE_CIDR=10.2"] }), { code: "WEAVE_ADDRESS_INVALID" });
  const ours = await create({ HostConfig: { NetworkMode: "weave" } });
  assert.deepEqual(ours, {
    Image: "x",
    HostConfig: { NetworkMode: "weave", Dns: ["172.17.0.1"], DnsSearch: ["weave.local."] },
  });
});

test("WEAVE_CIDR is parsed", () => {
  const wanted = (value: string) => wantedAddresses([`WEAVE_CIDR=${value}`], true);
  assert.deepEqual(wantedAddresses([], true), [{ kind: "net", subnet: "" }]);
  assert.equal(wantedAddresses(["X=1"], false), undefined);
  assert.deepEqual(wanted(""), [{ kind: "net", subnet: "" }]);
  assert.deepEqual(wanted(" 10.2.1.1/24  net:10.3.0.0/16 net:default"), [
    { kind: "ip", cidr: "10.2.1.1/24" },
    { kind: "net", subnet: "10.3.0.0/16" },
    { kind: "net", subnet: "" },
  ]);
  assert.throws(() => wanted("nonsense"), { code: "WEAVE_ADDRESS_INVALID" });
});

test("host names follow Go's patterns", () => {
  const name = (hostnameMatch: string, hostnameReplacement: string, from: string) =>
    parseHostname({ hostnameMatch, hostnameReplacement })(from);
  assert.equal(name("(.*)", "$1", "web"), "web");
  assert.equal(name("^aws-[0-9]+-(.*)$", "my-app-$1", "aws-12798186823-foo"), "my-app-foo");
  assert.equal(name("^(?P<base>\\w+)_\\d$", "$" + "{base}-x", "web_1"), "web-x");
  assert.throws(() => name("(", "", ""), SyntaxError);
});

test("the proxy's addresses are parsed", () => {
  assert.deepEqual(parseListen("/var/run/x.sock"), { path: "/var/run/x.sock" });
  assert.deepEqual(parseListen("tcp://:12375"), { host: "0.0.0.0", port: 12375 });
  assert.deepEqual(parseListen("10.0.0.1:1"), { host: "10.0.0.1", port: 1 });
  for (const text of ["unix://relative", "tcp://x", "x:y", ":99999", ""])
    assert.throws(() => parseListen(text), Error, text);
});

test("numbers of any size keep their digits in a changed body", () => {
  const text =
    '{"a":9007199254740993,"b":[-1,0.10,1e400,12345678901234567890],"c":"12345678901234567890","d":{"e":1.5}}';
  assert.equal(stringifyExact(parseExact(text)), text);
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const json = JSON.stringify(value);
      assert.equal(stringifyExact(parseExact(json)), json);
    }),
    { numRuns: 1_000 },
  );
  assert.throws(() => parseExact("{"), SyntaxError);
});

test("no string is mistaken for a number, even one with the parser's mark", () => {
  const mark = parseExact("9007199254740993");
  for (const text of [JSON.stringify(mark), JSON.stringify({ [String(mark)]: [mark, `say "${mark}"`] })])
    assert.equal(stringifyExact(parseExact(text)), text);
  const letters = fc.constantFrom("\u0001", "n", "s", "1", '"', "\\");
  const strings = fc.string({ unit: letters, maxLength: 6 });
  fc.assert(
    fc.property(fc.dictionary(strings, fc.array(strings, { maxLength: 3 }), { maxKeys: 3 }), (value) => {
      const json = JSON.stringify(value);
      assert.equal(stringifyExact(parseExact(json)), json);
    }),
    { numRuns: 2_000 },
  );
});

test("a full name has a domain; a container of the proxy begins with the helper", () => {
  const config = (Hostname: string, Domainname = "", Entrypoint: string | string[] = []) => ({
    Config: { Hostname, Domainname, Entrypoint, Cmd: [], Env: [], StopSignal: "" },
    HostConfig: { Binds: ["/var/lib/weave/w:/.weave:ro"], ExtraHosts: [], RestartPolicy: { Name: "" } },
  });
  assert.equal(fqdnOf(config("web", "weave.local")), "web.weave.local");
  assert.equal(fqdnOf(config("web.weave.local")), "web.weave.local");
  assert.equal(fqdnOf(config("web")), undefined);
  assert.equal(fqdnOf(config("")), undefined);
  assert.ok(isWrapped(config("", "", ["/.weave/w", "x"])));
  assert.ok(!isWrapped(config("", "", ["x", "/.weave/w"])));
  assert.ok(!isWrapped(config("")));
});

test("only containers that Docker failed to start without the plugin are started", () => {
  const container = (Running: boolean, policy: string, why: string) => ({
    State: { Running, Pid: 0, StartedAt: "", Error: why, Paused: false },
    HostConfig: { NetworkMode: "weave", Binds: [], ExtraHosts: [], RestartPolicy: { Name: policy } },
  });
  const missing = 'error while looking up "weavemesh": dial unix /run/docker/plugins/weavemesh.sock: plugin not found';
  assert.ok(failedWithoutPlugin(container(false, "always", missing)));
  assert.ok(failedWithoutPlugin(container(false, "unless-stopped", missing)));
  assert.ok(!failedWithoutPlugin(container(false, "no", missing)));
  assert.ok(!failedWithoutPlugin(container(true, "always", missing)));
  assert.ok(!failedWithoutPlugin(container(false, "always", "")), "stopped by hand");
  assert.ok(!failedWithoutPlugin(container(false, "always", 'exec: "x": executable file not found in $PATH')));
});
