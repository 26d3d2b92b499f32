import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { type DockerHost, networkThere } from "#test/lab/docker-host.js";
import { DEFAULT_SUBNET_FLAGS, dockerTests, PROXY_ENV as ENV, launchAll } from "#test/lab/docker-tests.js";
import { engineAtLeast } from "#test/lab/engine.js";
import { EngineClient, kindsOfCalls, repeat } from "#test/lab/engine-calls.js";
import { until } from "#test/lab/wait.js";

let h1: DockerHost;
let h2: DockerHost;

const test = dockerTests(2, async (hosts) => {
  [h1, h2] = hosts;
  const listen = ["unix:///var/run/weave/weave.sock", "tcp://127.0.0.1:12375"].flatMap((address) => ["-H", address]);
  await launchAll(hosts, ...DEFAULT_SUBNET_FLAGS, "--rewrite-inspect", ...listen);
});

/** Runs a command line with a text as its standard input. */
function feed(host: DockerHost, line: string, input: Buffer | string): Promise<string> {
  return new Promise((resolve, reject) => {
    const [file, ...args] = host.command("bash", "-c", line);
    const child = spawn(file, args, { env: { ...process.env, ...host.environment } });
    const chunks: Buffer[] = [];
    let errors = "";
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    child.once("close", (code) =>
      code === 0 ? resolve(Buffer.concat(chunks).toString()) : reject(new Error(`${line}: ${errors}`)),
    );
    child.stdin.end(input);
  });
}

test("weave env, proxy-env, config and env --restore print the lines of Weave Net", async () => {
  const address = "unix:///var/run/weave/weave.sock";
  assert.equal(await h1.ok("env"), `export DOCKER_HOST=${address} ORIG_DOCKER_HOST=\n`);
  assert.equal(await h1.ok("proxy-env"), await h1.ok("env"));
  assert.equal(await h1.ok("config"), `-H=${address}\n`);
  const set = { DOCKER_HOST: address };
  assert.equal((await h1.weaveWith(set, "env")).stdout, `export DOCKER_HOST=${address} \n`);
  assert.equal((await h1.weaveWith({ ORIG_DOCKER_HOST: "" }, "env", "--restore")).stdout, "DOCKER_HOST=\n");
  const nothing = await h1.weave("env", "--restore");
  assert.deepEqual([nothing.code, nothing.stdout], [1, ""]);
  assert.match(nothing.stderr, /^Nothing to restore\. /);
  assert.equal((await h1.api("GET", "/proxyaddrs")).body, `${address}\ntcp://127.0.0.1:12375\n`);
  assert.match(await h1.ok("status"), /Service: proxy\n +Address: unix:\/\/\/var\/run\/weave\/weave\.sock\n/);
  assert.equal(await h1.type("stat -c %a /var/run/weave/weave.sock"), await h1.type("stat -c %a /var/run/docker.sock"));
});

test("a container starts with its interface, a host name in our domain, and weaveDNS", async () => {
  await h1.type(`${ENV} docker run -d --name app01 busybox sleep 600`);
  const output = await h2.type(
    `${ENV} docker run --rm --name app02 busybox sh -c 'ip -o link show ethwe; hostname -f; ping -c 1 -W 5 app01; cat /etc/hosts'`,
  );
  assert.match(output, /ethwe.*,UP,/);
  assert.match(output, /^app02\.weave\.local$/m);
  assert.match(output, /PING app01 \(10\.32\./);
  assert.match(output, /^10\.32\.\d+\.\d+\tapp02\.weave\.local app02$/m);
  assert.equal(await h1.type(`${ENV} docker exec app01 ping -c 1 -W 5 app01 | head -1 | cut -d'(' -f1`), "PING app01");
  // The fields in which old tools read the address.
  const shown = await h1.type(
    `${ENV} docker inspect -f '{{.NetworkSettings.IPAddress}}/{{.NetworkSettings.IPPrefixLen}}' app01`,
  );
  assert.equal(shown, (await h1.type("weave ps app01")).split(" ")[2]);
  await h1.type("docker rm -f app01");
  await until("its name is gone", async () => (await h2.ok("dns-lookup", "app01")) === "");
});

test("WEAVE_CIDR and --net decide which addresses a container gets", async () => {
  const addresses = async (args: string) =>
    (await h1.type(`${ENV} docker run --rm ${args} busybox ip -o -4 addr show`))
      .split("\n")
      .filter((line) => line.includes("ethwe"))
      .map((line) => line.split(/ +/)[3]);
  assert.deepEqual(await addresses("-e 'WEAVE_CIDR=10.2.1.1/24 ip:10.2.2.1/24'"), ["10.2.1.1/24", "10.2.2.1/24"]);
  assert.match(String(await addresses("-e WEAVE_CIDR=net:10.36.0.0/24")), /^10\.36\.0\.\d+\/24$/);
  assert.equal((await addresses("-e 'WEAVE_CIDR=net:default net:10.36.0.0/24'")).length, 2);
  assert.match(String(await addresses("--net=none")), /^10\.32\./);
  assert.deepEqual(await addresses("-e WEAVE_CIDR=none"), []);
  assert.deepEqual(await addresses("--net=host"), []);
  const odd = await h1.shell(`${ENV} docker run --rm -e WEAVE_CIDR=10.2.1 busybox true`);
  assert.match(odd.stderr, /WEAVE_CIDR: "10\.2\.1" is no address/);
  const taken = await h1.shell(
    `${ENV} docker run -d --name holder -e WEAVE_CIDR=10.2.9.9/24 busybox sleep 600 && docker run --rm -e WEAVE_CIDR=10.2.9.9/24 busybox true`,
  );
  assert.notEqual(taken.code, 0);
  assert.match(taken.stderr, /could not be put on the weave network: address 10\.2\.9\.9 is already owned by/);
  await h1.type("docker rm -f holder");
});

test("entrypoints and commands run as they would without the proxy", async () => {
  await feed(h1, "docker build -t entry -", 'FROM busybox\nENTRYPOINT ["echo", "entry"]\nCMD ["image"]\n');
  const run = (args: string) => h1.type(`${ENV} docker run --rm ${args}`);
  assert.equal(await run("entry"), "entry image");
  assert.equal(await run("entry user"), "entry user");
  assert.equal(await run("--entrypoint echo entry"), "");
  assert.equal(await run("--entrypoint echo entry user"), "user");
  const missing = await h1.shell(`${ENV} docker run --rm busybox no-such-program`);
  assert.equal(missing.code, 127);
  assert.match(missing.stderr, /exec: "no-such-program": executable file not found in \$PATH/);
  const unknown = await h1.shell(`${ENV} docker run --rm no-such-image`);
  assert.match(unknown.stderr, /Unable to find image 'no-such-image:latest' locally/);
  const create = `docker create --name big --ulimit nofile=9007199254740993:9007199254740993 --memory-swap -1 busybox true`;
  const numbers = `docker inspect -f '{{json .HostConfig.Ulimits}}' big; docker rm big`;
  // Engine 29 rounds them itself.
  const alone = await h1.type(`${create} && ${numbers}`);
  if (!engineAtLeast(29)) assert.match(alone, /9007199254740993/);
  assert.deepEqual(
    (await h1.type(`${ENV} ${create} && ${numbers}`)).split("\n").slice(1),
    alone.split("\n").slice(1),
    "the proxy does not round numbers beyond 53 bits",
  );
});

test("streams pass unchanged: stdin with half-close, exec, attach, logs -f, cp, events, a large build context", {
  timeout: 120_000,
}, async () => {
  const megabytes = Buffer.alloc(8 << 20, "0123456789abcdef");
  const sum = (await import("node:crypto")).createHash("md5").update(megabytes).digest("hex");
  assert.equal((await feed(h1, `${ENV} docker run --rm -i busybox md5sum`, megabytes)).split(" ")[0], sum);
  assert.equal(await feed(h1, `${ENV} docker run --rm -i -a stdin -a stdout busybox cat`, "to be said"), "to be said");
  await h1.type(
    `${ENV} docker run -d --name long busybox sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done; sleep 600'`,
  );
  assert.equal((await feed(h1, `${ENV} docker exec -i long md5sum`, megabytes)).split(" ")[0], sum);
  const followed = h1.type(`${ENV} timeout 3 docker logs -f long; true`);
  assert.equal(await followed, "1\n2\n3");
  const terminal = await h1.type(`${ENV} script -qec 'docker exec -ti long tty' /dev/null`);
  assert.match(terminal, /^\/dev\/pts\/\d+/);
  const events = h1.type(`${ENV} timeout 3 docker events --format '{{.Action}}' --filter container=short; true`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await h1.type(`${ENV} docker run --rm --name short busybox true`);
  assert.match(await events, /create[\s\S]*start[\s\S]*die/);
  await h1.type(
    `${ENV} head -c 3000000 /dev/urandom > /tmp/copy.$$ && docker cp /tmp/copy.$$ long:/copied && docker exec long md5sum /copied | cut -d' ' -f1 > /tmp/there.$$ && md5sum < /tmp/copy.$$ | cut -d' ' -f1 | cmp - /tmp/there.$$ && docker cp long:/copied - | tar -xO | cmp - /tmp/copy.$$ && rm /tmp/copy.$$ /tmp/there.$$`,
  );
  const built = await h1.type(
    `${ENV} d=$(mktemp -d) && head -c 40000000 /dev/urandom > $d/large && printf 'FROM busybox\\nCOPY large /large\\n' > $d/Dockerfile && docker build -q -t large $d >/dev/null && md5sum < $d/large && docker run --rm large md5sum /large; rm -r $d`,
  );
  const [here, there] = built.split("\n").map((line) => line.split(" ")[0]);
  assert.equal(here, there);
  await h1.type(`${ENV} docker rm -f long`);
});

test("no call of any kind fails through the proxy", { timeout: 180_000 }, async () => {
  const count = 200;
  await h1.type(`${ENV} docker run -d --name calls busybox sh -c 'echo hello; sleep 600'`);
  const client = new EngineClient(h1.path("/run/weave/weave.sock"));
  for (const { name, call, divisor = 1 } of kindsOfCalls("calls"))
    assert.deepEqual((await repeat(count / divisor, (i) => call(client, i))).failures, [], name);
  client.close();
  // Same as Docker's client: one connection for each call, head and body in two writes.
  await h1.type(`${ENV} for i in $(seq 50); do docker volume create vv >/dev/null || exit 1; done; docker rm -f calls`);
});

test("one connection transports many calls, then an upgrade", async () => {
  const curl = "curl -s --unix-socket /var/run/weave/weave.sock";
  const many = await h1.type(
    `${curl} http://docker/_ping http://docker/version http://docker/_ping -o /dev/null -o /dev/null -o /dev/null -w '%{http_code} %{num_connects}\n'`,
  );
  assert.equal(many, "200 1\n200 0\n200 0");
  const upgraded = await h1.type(
    `${curl} -i -m 3 -X POST -H 'Connection: Upgrade' -H 'Upgrade: h2c' http://docker/session -H 'X-Docker-Expose-Session-Uuid: x' -H 'X-Docker-Expose-Session-Name: y' | head -1; true`,
  );
  assert.match(upgraded, /101 /);
  const plain = await h1.type(`${curl} -i -X DELETE http://docker/containers/missing`);
  assert.match(plain, /404 Not Found[\s\S]*No such container: missing/);
  assert.match(await h1.type("docker -H tcp://127.0.0.1:12375 version"), /Server:/);
});

test("host names by label and by pattern; a warning for a long name", async () => {
  const long = "n".repeat(60);
  const warned = await h1.shell(`${ENV} docker run --rm --name ${long} busybox hostname`);
  assert.match(warned.stderr, new RegExp(`Container name \\[${long}\\] too long to be used as hostname`));
  assert.equal(await h1.type(`${ENV} docker run --rm -h given.example busybox hostname`), "given.example");
  await h2.ok("stop");
  await h2.launch(
    "--hostname-from-label",
    "role",
    "--hostname-match",
    "^(?P<base>[a-z]+)-[0-9]+$",
    "--hostname-replacement",
    "$base",
    "10.99.0.1",
  );
  await networkThere(h2);
  const name = (args: string) => h2.type(`${ENV} docker run --rm ${args} busybox hostname -f`);
  assert.equal(await name("--name web-12"), "web.weave.local");
  assert.equal(await name("--name web-13 -l role=db-7"), "db.weave.local");
});

test("with TLS a client needs the certificate", { timeout: 180_000 }, async () => {
  await h2.ok("stop");
  await h2.type(`mkdir -p /root/pki && cd /root/pki && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem 2>/dev/null
for who in server client; do
  openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who-key.pem -out $who.csr 2>/dev/null
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' > ext
  openssl x509 -req -days 2 -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile ext -out $who.pem 2>/dev/null
done`);
  const tls =
    "--tlsverify --tlscacert /root/pki/ca.pem --tlscert /root/pki/server.pem --tlskey /root/pki/server-key.pem".split(
      " ",
    );
  await h2.launch("-H", "tcp://127.0.0.1:12376", ...tls, "10.99.0.1");
  await networkThere(h2);
  const secure =
    "docker -H tcp://127.0.0.1:12376 --tlsverify --tlscacert /root/pki/ca.pem --tlscert /root/pki/client.pem --tlskey /root/pki/client-key.pem";
  assert.match(await h2.type(`${secure} run --rm busybox ip -o link show ethwe`), /ethwe/);
  assert.equal(await feed(h2, `${secure} run --rm -i busybox cat`, "sealed"), "sealed");
  assert.notEqual((await h2.shell("docker -H tcp://127.0.0.1:12376 version")).code, 0);
  assert.notEqual((await h2.shell("curl -sk https://127.0.0.1:12376/version")).code, 0, "without a certificate");
});

test("attach, detach, ps, dns-add and dns-remove take containers", async () => {
  await h1.type("docker run -d --name plain --hostname plain.weave.local busybox sleep 600");
  const address = await h1.type("weave attach plain");
  assert.match(address, /^10\.32\.\d+\.\d+$/);
  assert.equal(await h1.type("weave attach plain"), address, "again: the same");
  assert.equal(await h2.ok("dns-lookup", "plain"), `${address}\n`);
  const id = await h1.type("docker inspect -f '{{.Id}}' plain");
  assert.match(await h1.ok("ps"), new RegExp(`^${id.slice(0, 12)} [0-9a-f:]{17} ${address}/16$`, "m"));
  assert.equal(await h1.type("weave attach 10.2.3.1/24 plain"), "10.2.3.1");
  await h1.type("weave dns-add plain -h another");
  assert.deepEqual((await h2.ok("dns-lookup", "another")).trim().split("\n").sort(), ["10.2.3.1", address].sort());
  await h1.type("weave dns-remove plain -h another");
  assert.equal(await h2.ok("dns-lookup", "another"), "");
  await h1.type("weave attach --rewrite-hosts --add-host db:10.9.9.9 plain");
  const hosts = await h1.type("docker exec plain cat /etc/hosts");
  assert.match(hosts, new RegExp(`^${address}\tplain\\.weave\\.local plain\n10\\.9\\.9\\.9\tdb$`, "m"));
  assert.equal(await h1.type("weave detach plain"), address);
  assert.equal(await h1.type("weave detach 10.2.3.1/24 plain"), "10.2.3.1");
  assert.equal(await h1.type("weave ps plain"), "");
  await h1.type("weave attach plain && docker rm -f plain");
  await until("its name is gone", async () => (await h2.ok("dns-lookup", "plain")) === "");
  const expected: [string, RegExp][] = [
    ["weave attach missing", /there is no container missing/],
    ["docker create --name still busybox true; weave attach still", /container still not running/],
    ["docker run -d --name bare --net host busybox sleep 60; weave attach bare", /host network namespace/],
    [
      "docker run -d --name sound busybox sleep 60; weave attach net:10.32.0.1/24 sound",
      /bits after network prefix are not all zero/,
    ],
  ];
  for (const [line, words] of expected) {
    const { code, stderr } = await h1.shell(line);
    assert.equal(code, 1, line);
    assert.match(stderr, words);
  }
  await h1.type("docker rm -f still bare sound");
});

test("every Docker client that is installed works through the proxy", async () => {
  const clients = (await h1.type("which -a docker")).split("\n");
  for (const client of clients)
    assert.match(await h1.type(`${ENV} ${client} run --rm busybox ip -o link show ethwe`), /ethwe/, client);
});
