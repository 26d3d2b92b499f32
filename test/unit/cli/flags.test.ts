import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { takeAddresses } from "#cli/support/address-arguments.js";
import { parseIpamOptions, quorumOf } from "#router/addresses/options.js";
import { parseOptions, readOptions } from "#router/options.js";
import { parseAddressArgument } from "#src/address-argument.js";

const launch = (args: string[], env: NodeJS.ProcessEnv = {}) => parseLaunch(args, env).options;

test("defaults are Weave Net's, but for encryption", () => {
  const options = launch([]);
  assert.deepEqual(
    {
      port: options.port,
      discovery: options.discovery,
      limit: options.connectionLimit,
      http: options.httpAddr,
      status: options.statusAddr,
      mtu: options.mtu,
      encryption: options.encryption,
      restart: options.restart,
    },
    {
      port: 6783,
      discovery: true,
      limit: 200,
      http: "127.0.0.1:6784",
      status: "127.0.0.1:6782",
      mtu: 1376,
      encryption: true,
      restart: true,
    },
  );
  assert.deepEqual(parseOptions(JSON.parse(JSON.stringify(options))), options);
});

test("flags come with one dash or two, with a space or an equals sign, before and after peers", () => {
  const options = launch([
    "-password=x",
    "host1",
    "--port",
    "7000",
    "-no-discovery=true",
    "--resume=false",
    "--connlimit=5",
    "host2:1",
  ]);
  assert.equal(options.password, "x");
  assert.equal(options.port, 7000);
  assert.equal(options.discovery, false);
  assert.equal(options.resume, false);
  assert.equal(options.connectionLimit, 5);
  assert.deepEqual(options.peers, ["host1", "host2:1"]);
});

test("variables apply where flags are missing; flags take precedence", () => {
  const env = {
    WEAVE_PASSWORD: "secret",
    WEAVE_PORT: "7001",
    WEAVE_MTU: "1400",
    WEAVE_ENCRYPTION: "on",
    CHECKPOINT_DISABLE: "1",
  };
  assert.deepEqual([launch([], env).password, launch([], env).port, launch([], env).mtu], ["secret", 7001, 1400]);
  assert.equal(launch(["--password", "other"], env).password, "other");
  assert.equal(launch(["--password="], {}).password, undefined);
  assert.equal(launch([], { WEAVE_NO_FASTDP: "1" }).mtu, 65535);
  assert.equal(launch(["--no-fastdp"]).mtu, 65535);
  assert.equal(launch(["--no-fastdp"], { WEAVE_MTU: "9000" }).mtu, 9000);
});

test("unknown flags and invalid values are rejected", () => {
  assert.throws(() => launch(["--bogus=1"]), {
    code: "WEAVE_FLAG_UNKNOWN",
    message: "flag provided but not defined: --bogus",
  });
  assert.throws(() => launch(["--awsvpc"]), { code: "WEAVE_FLAG_UNKNOWN", next: /does not have yet/ });
  for (const args of [["--port", "x"], ["--port"], ["--encryption", "maybe"], ["--log-level", "loud"], ["--mtu=1k"]]) {
    assert.throws(() => launch(args), { code: "WEAVE_FLAG_INVALID" }, args.join(" "));
  }
  for (const env of [{ WEAVE_PORT: "x" }, { WEAVE_MTU: "-1" }, { WEAVE_ENCRYPTION: "perhaps" }]) {
    assert.throws(() => launch([], env), { code: "WEAVE_FLAG_INVALID" });
  }
});

test("contradictory or out-of-range options are rejected before anything starts", () => {
  assert.throws(() => launch(["--password", "x", "--encryption", "off"]), { code: "WEAVE_FLAG_INVALID" });
  assert.throws(() => launch(["--resume", "host1"]), { code: "WEAVE_FLAG_INVALID" });
  for (const peer of ["a:b:c", "host:0", "host:99999", "10.0.0.2/24", ""]) {
    assert.throws(() => launch([peer]), { code: "WEAVE_PEER_INVALID", message: /should be host\[:port\]$/ }, peer);
    assert.throws(() => parseOptions({ ...launch([]), peers: [peer] }), { code: "WEAVE_PEER_INVALID" }, peer);
  }
  for (const broken of [null, [], "x", { peers: "x" }, { docker: 1 }])
    assert.throws(() => parseOptions(broken), { code: "WEAVE_FLAG_INVALID", next: /'weave launch'/ });
  assert.throws(() => readOptions('{"port":'), {
    code: "WEAVE_FLAG_INVALID",
    message: /^the launch file is not valid JSON/,
  });
});

test("addresses come first; the first other word ends them", () => {
  assert.deepEqual(takeAddresses(["ip:10.2.1.1/24", "10.2.1.2/24", "netns:x", "10.2.1.3/24"]), {
    addresses: ["ip:10.2.1.1/24", "10.2.1.2/24"],
    rest: ["netns:x", "10.2.1.3/24"],
  });
  assert.deepEqual(takeAddresses(["net:10.2.0.0/16", "net:default", "c"]).addresses, [
    "net:10.2.0.0/16",
    "net:default",
  ]);
  assert.deepEqual(takeAddresses(["net:default"]), { addresses: ["net:default"], rest: [] });
  assert.deepEqual(takeAddresses(["c"]), { addresses: [], rest: ["c"] });
  assert.throws(() => takeAddresses(["ip:nonsense"]), { code: "WEAVE_ADDRESS_INVALID" });
  assert.deepEqual(parseAddressArgument("ip:10.2.1.1/24"), { kind: "ip", cidr: "10.2.1.1/24" });
  assert.deepEqual(parseAddressArgument("10.2.1.2/24"), { kind: "ip", cidr: "10.2.1.2/24" });
  assert.deepEqual(parseAddressArgument("net:10.2.0.0/16"), { kind: "net", subnet: "10.2.0.0/16" });
  assert.deepEqual(parseAddressArgument("net:default"), { kind: "net", subnet: "" });
});

test("--ipalloc-init and the ranges are parsed, and rejected with Weave Net's messages", () => {
  const read = (...args: string[]) => parseIpamOptions(launch(args));
  const { range, defaultSubnet, init } = read()!;
  assert.deepEqual(
    [range.text, defaultSubnet.text, init],
    ["10.32.0.0/12", "10.32.0.0/12", { mode: "consensus", count: 0 }],
  );
  assert.equal(read("-iprange", "10.2.0.0/16")!.range.text, "10.2.0.0/16");
  assert.equal(read("--ipalloc-range="), undefined);
  assert.equal(
    read("--ipalloc-range=10.2.0.0/16", "--ipalloc-default-subnet", "10.0.0.0/8")!.defaultSubnet.text,
    "10.0.0.0/8",
  );
  assert.deepEqual(read("--ipalloc-init", "consensus=5")!.init, { mode: "consensus", count: 5 });
  assert.deepEqual(read("--ipalloc-init=seed=::2,::1")!.init, {
    mode: "seed",
    peers: ["00:00:00:00:00:01", "00:00:00:00:00:02"],
  });
  assert.deepEqual(read("--ipalloc-init=observer")!.init, { mode: "observer" });
  const refused = (words: string, ...args: string[]) =>
    assert.throws(
      () => launch(args),
      (error: Error) => error.message === words || error.message.endsWith(`(${words})`),
      args.join(" "),
    );
  refused(
    "--ipalloc-default-subnet specified without --ipalloc-range.",
    "--ipalloc-range=",
    "--ipalloc-default-subnet=10.0.0.0/8",
  );
  refused("--ipalloc-init specified without --ipalloc-range.", "--ipalloc-range=", "--ipalloc-init=observer");
  for (const [mode, why] of [
    ["paxos", "unknown mode: paxos"],
    ["seed", "seed mode requires peer name list"],
    ["observer=1", "observer mode takes no parameter"],
    ["consensus=x", "bad consensus parameter: x"],
    ["consensus=0", "bad consensus parameter: 0"],
    ["seed=::1,zz", "bad seed parameter: zz"],
  ])
    refused(why, "--ipalloc-init", mode);
  refused("invalid subnet - bits after network prefix are not all zero: 10.2.0.1/16", "--ipalloc-range=10.2.0.1/16");
  refused("invalid subnet - smaller than minimum size 4: 10.2.0.0/31", "--ipalloc-range=10.2.0.0/31");
  refused(
    "IP address allocation default subnet 10.3.0.0/16 does not overlap with allocation range 10.2.0.0/16",
    "--ipalloc-range=10.2.0.0/16",
    "--ipalloc-default-subnet=10.3.0.0/16",
  );
});

test("the quorum is a majority of this peer and the targets that are other peers", () => {
  const target = (address: string) => ({ text: address, address, port: true });
  const quorum = (addresses: string[], never: string[] = []) =>
    quorumOf({
      targets: addresses.map(target),
      attempts: never.map((address) => ({ address, state: "failed", error: "", retryAt: Number.POSITIVE_INFINITY })),
    });
  assert.deepEqual([quorum([]), quorum(["a"]), quorum(["a", "b"]), quorum(["a", "b", "c"])], [1, 2, 2, 3]);
  assert.equal(quorum(["a", "self"], ["self"]), 2);
});

test("flags about Docker: defaults, engines and listeners; the proxy is never the engine", () => {
  const docker = (args: string[], env: NodeJS.ProcessEnv = {}) => launch(args, env).docker;
  const usual = docker(["--docker-api", "unix:///var/run/docker.sock"]);
  assert.deepEqual(
    [usual.plugin, usual.proxy, usual.defaultIpalloc, usual.rewriteHosts, usual.multicastRoute, usual.rewriteInspect],
    [true, true, true, true, true, false],
  );
  assert.deepEqual(usual.listen, ["unix:///var/run/weave/weave.sock"]);
  assert.equal(docker(["--plugin=false"]).plugin, false);
  assert.equal(docker(["--no-proxy"]).proxy, false);
  // The proxy is open to all users of this host only if the engine is; otherwise only to root.
  assert.deepEqual(docker(["--docker-api=tcp://127.0.0.1:2375"]).listen, ["tcp://127.0.0.1:12375"]);
  assert.deepEqual(docker(["--docker-api=tcp://10.0.0.1:2375"]).listen, ["unix:///var/run/weave/weave.sock"]);
  assert.equal(docker([], { DOCKER_CLIENT_ARGS: "--debug -H tcp://127.0.0.1:99" }).api, "tcp://127.0.0.1:99");
  assert.deepEqual(docker(["-H", "/a.sock", "-H", "tcp://127.0.0.1:1"]).listen, ["/a.sock", "tcp://127.0.0.1:1"]);
  const own = "unix:///var/run/weave/weave.sock";
  assert.equal(docker([], { DOCKER_HOST: own, ORIG_DOCKER_HOST: "tcp://10.0.0.1:2375" }).api, "tcp://10.0.0.1:2375");
  assert.notEqual(docker([], { DOCKER_HOST: own }).api, own);
  assert.equal(docker(["--docker-api="]).api, "");
  assert.equal(docker(["--tlsverify", "--tlscert=/c.pem"]).tls, "verify");
  assert.equal(docker(["--tlsverify", "--tlscert=/c.pem"]).tlsCert, "/c.pem");
  assert.throws(() => launch(["--docker-api=nonsense"]), { code: "WEAVE_FLAG_INVALID" });
  assert.throws(() => docker([], { DOCKER_HOST: "nonsense" }), { message: /--docker-api \(from .*DOCKER_HOST\)/ });
  assert.throws(() => launch(["--docker-api=/x.sock", "-H", "unix://x"]), { message: /unix sockets must be/ });
});
