import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isWrapped, wantedAddresses } from "#docker/attacher.js";
import { hostsFile } from "#docker/hosts-file.js";
import { fqdnOf } from "#docker/names.js";
import { parseHostname, parseListen } from "#docker/options.js";
import { type CreateContext, rewriteCreate } from "#docker/proxy/create.js";
import { type JsonObject, parseExact, stringifyExact } from "#docker/proxy/json.js";
import { mustRevive } from "#docker/revive.js";

const context: CreateContext = {
  helper: "/var/lib/weave/w",
  defaultIpalloc: true,
  dns: { address: "172.17.0.1", domain: "weave.local." },
  hostnameFromLabel: "",
  toHostname: (name) => name,
  image: async () => ({ Config: { Entrypoint: ["/entry"], Cmd: ["image", "command"] } }),
  isOurNetwork: async (name) => name === "weave",
};

const create = async (body: JsonObject, name = "web", more: Partial<CreateContext> = {}) =>
  (await rewriteCreate({ Image: "x", ...body }, name, { ...context, ...more })).body;

test("a container that is created gets the helper, a host name and name servers; what the user gave stays", async () => {
  assert.deepEqual(await create({ Cmd: ["run"], Env: ["A=1"], HostConfig: { Memory: 5 } }), {
    Image: "x",
    Env: ["A=1"],
    Entrypoint: ["/w/w", "/entry"],
    Cmd: ["run"],
    Hostname: "web",
    Domainname: "weave.local",
    HostConfig: { Memory: 5, Binds: ["/var/lib/weave/w:/w:ro"], Dns: ["172.17.0.1"], DnsSearch: ["."] },
  });
  const given = await create({
    Hostname: "own.example",
    HostConfig: { Binds: ["/data:/data", "/old:/w"], Dns: ["9.9.9.9"], DnsSearch: ["example"] },
  });
  assert.equal(given?.Hostname, "own.example");
  assert.equal(given?.Domainname, undefined);
  assert.deepEqual(given?.HostConfig, {
    Binds: ["/data:/data", "/var/lib/weave/w:/w:ro"],
    Dns: ["9.9.9.9", "172.17.0.1"],
    DnsSearch: ["example"],
  });
  const unnamed = await create({}, "");
  assert.equal(unnamed?.Hostname, undefined);
  assert.deepEqual((unnamed!.HostConfig as JsonObject).DnsSearch, ["weave.local."]);
});

test("a host name in a sub-domain of ours: short names are searched there first, then in our domain", async () => {
  const search = async (body: JsonObject) => ((await create(body))!.HostConfig as JsonObject).DnsSearch;
  const both = ["sub1.weave.local.", "weave.local."];
  assert.deepEqual(await search({ Hostname: "foo.sub1.weave.local" }), both);
  assert.deepEqual(await search({ Hostname: "foo", Domainname: "sub1.weave.local." }), both);
  assert.deepEqual(await search({ Hostname: "foo.sub1.weave.local", HostConfig: { NetworkMode: "weave" } }), both);
  for (const Hostname of ["foo", "foo.weave.local", "foo.elsewhere.example", "foo.notweave.local"])
    assert.deepEqual(await search({ Hostname }), ["weave.local."], Hostname);
});

test("entrypoints and commands, by Docker's own rules", async () => {
  const cases: [JsonObject, string[], string[]][] = [
    [{}, ["/w/w", "/entry"], ["image", "command"]],
    [{ Cmd: ["x"] }, ["/w/w", "/entry"], ["x"]],
    [{ Cmd: "one" }, ["/w/w", "/entry"], ["one"]],
    [{ Entrypoint: ["mine"] }, ["/w/w", "mine"], []],
    [{ Entrypoint: "mine", Cmd: ["x"] }, ["/w/w", "mine"], ["x"]],
    [{ Entrypoint: [""], Cmd: ["x"] }, ["/w/w"], ["x"]],
    [{ Entrypoint: ["/w/w", "mine"] }, ["/w/w", "mine"], []],
  ];
  for (const [given, entrypoint, command] of cases) {
    const body = await create(given);
    assert.deepEqual([body?.Entrypoint, body?.Cmd], [entrypoint, command], JSON.stringify(given));
  }
});

test("what is left alone: other networks, WEAVE_CIDR=none, no default, nothing to run, an image that is not there", async () => {
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

test("WEAVE_CIDR", () => {
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

test("host names by Go's patterns", () => {
  const name = (hostnameMatch: string, hostnameReplacement: string, from: string) =>
    parseHostname({ hostnameMatch, hostnameReplacement })(from);
  assert.equal(name("(.*)", "$1", "web"), "web");
  assert.equal(name("^aws-[0-9]+-(.*)$", "my-app-$1", "aws-12798186823-foo"), "my-app-foo");
  assert.equal(name("^(?P<base>\\w+)_\\d$", "$" + "{base}-x", "web_1"), "web-x");
  assert.throws(() => name("(", "", ""), SyntaxError);
});

test("where the proxy listens", () => {
  assert.deepEqual(parseListen("/var/run/x.sock"), { path: "/var/run/x.sock" });
  assert.deepEqual(parseListen("tcp://:12375"), { host: "0.0.0.0", port: 12375 });
  assert.deepEqual(parseListen("10.0.0.1:1"), { host: "10.0.0.1", port: 1 });
  for (const text of ["unix://relative", "tcp://x", "x:y", ":99999", ""])
    assert.throws(() => parseListen(text), Error, text);
});

test("numbers come out of a changed body as they went in, however large", () => {
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

test("/etc/hosts has the overlay's addresses, the user's entries, and the usual names", () => {
  const text = hostsFile(["10.32.0.1/12", "10.2.0.1/24"], "web.weave.local", ["db:10.9.9.9", "six:fe80::1"]);
  assert.match(text, /^10\.32\.0\.1\tweb\.weave\.local web$/m);
  assert.match(text, /^10\.2\.0\.1\tweb\.weave\.local web$/m);
  assert.match(text, /^10\.9\.9\.9\tdb$/m);
  assert.match(text, /^fe80::1\tsix$/m);
  assert.match(text, /^127\.0\.0\.1\tlocalhost$/m);
  assert.match(hostsFile(["10.2.0.1/24"], "alone"), /^10\.2\.0\.1\talone$/m);
});

test("a container's full name is one with a domain; whose entrypoint is the helper was created through the proxy", () => {
  const config = (Hostname: string, Domainname = "", Entrypoint: string | string[] = []) => ({
    Config: { Hostname, Domainname, Entrypoint, Env: [], Labels: {} },
  });
  assert.equal(fqdnOf(config("web", "weave.local")), "web.weave.local");
  assert.equal(fqdnOf(config("web.weave.local")), "web.weave.local");
  assert.equal(fqdnOf(config("web")), undefined);
  assert.equal(fqdnOf(config("")), undefined);
  assert.ok(isWrapped(config("", "", ["/w/w", "x"])));
  assert.ok(!isWrapped(config("", "", ["x", "/w/w"])));
  assert.ok(!isWrapped(config("")));
});

test("only what Docker should have started, and could not for want of a network, is started", () => {
  const container = (Running: boolean, policy: string, why: string) => ({
    State: { Running, Pid: 0, StartedAt: "", Error: why },
    HostConfig: { NetworkMode: "weave", Binds: [], ExtraHosts: [], RestartPolicy: { Name: policy } },
  });
  const missing = 'error while looking up "weavemesh": dial unix /run/docker/plugins/weavemesh.sock: plugin not found';
  assert.ok(mustRevive(container(false, "always", missing)));
  assert.ok(mustRevive(container(false, "unless-stopped", missing)));
  assert.ok(!mustRevive(container(false, "no", missing)));
  assert.ok(!mustRevive(container(true, "always", missing)));
  assert.ok(!mustRevive(container(false, "always", "")), "stopped by hand");
  assert.ok(!mustRevive(container(false, "always", 'exec: "x": executable file not found in $PATH')));
});
