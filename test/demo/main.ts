/**
 * `npm run demo`: three hosts that have nothing but IP between them, in network namespaces of this machine, get one
 * encrypted Ethernet by `weave launch` and `weave connect`; where Docker's programs are installed, a fourth host with an
 * engine of its own joins them. All hosts, processes and interfaces are gone at the end.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorText } from "#src/errors.js";
import { DockerHost, dockerTestsImpossible, makeImage } from "#test/lab/docker-host.js";
import { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { median, pingTimes, tcpGbits } from "#test/lab/measure.js";
import type { Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

const INSIDE = "WEAVE_DEMO_INSIDE";
let step = 0;

const say = (text = "") => console.log(text);
const next = (text: string) => say(`\n[${++step}] ${text}`);

const dockerImpossible = () =>
  process.env[INSIDE] === undefined
    ? dockerTestsImpossible({ required: false })
    : "an engine needs root outside of user namespaces";

const quoted = (word: string) => (/^[\w./:=-]+$/.test(word) ? word : `'${word}'`);

function print(output: string): void {
  for (const line of output.split("\n").filter((text) => text !== "")) say(`      ${line}`);
}

/** Shows a command as a user would type it, and what it prints. */
async function show(host: Host, ...args: string[]): Promise<void> {
  say(`    ${host.name}# weave ${args.map(quoted).join(" ")}`);
  print(await host.ok(...args));
}

/** @param docker the host with an engine of its own; undefined without Docker's programs */
async function demo(lab: Lab, docker: DockerHost | undefined): Promise<void> {
  const hosts = lab.hosts.slice(0, 3);
  const [h1, h2, h3] = hosts;

  next("Three hosts: h1 10.99.0.1, h2 10.99.0.2, h3 10.99.0.3. Between them there is IP, and nothing else.");
  for (const host of hosts) await host.must("ping", "-c", "1", "-W", "1", h1.address);

  next("A router on each, all with one password.");
  for (const host of hosts) {
    const began = performance.now();
    await show(host, "launch", "--name", host.peerName, "--nickname", host.name, "--password", "open sesame");
    say(`      (ready after ${((performance.now() - began) / 1000).toFixed(2)} s)`);
  }

  next("h2 and h3 get one target each; they discover the rest.");
  await show(h2, "connect", h1.address);
  await show(h3, "connect", h2.address);
  for (const host of hosts) await connected(host, 2, 30_000);
  await show(h1, "status", "connections");

  next("Two containers on each host (network namespaces here). Their addresses come from the peers, without a server.");
  const containers: { host: Host; container: Namespace; address: string }[] = [];
  for (const host of hosts) {
    for (const n of [1, 2]) {
      const began = performance.now();
      const made = await host.attachAny(`c${n}`);
      containers.push({ host, ...made });
      say(`    ${host.name}# weave attach netns:c${n}`);
      say(`      ${made.address}   (${((performance.now() - began) / 1000).toFixed(2)} s)`);
    }
  }
  await show(h1, "status", "ipam");

  next("Each pings each, across the hosts.");
  for (const { container } of containers) {
    for (const { address } of containers)
      await until(`${address} answers`, async () => (await container.ping(address, { count: 1 })) === 1);
  }
  say("    36 of 36 answered");
  await show(h1, "status");

  next("A name is given on one host, and known on all.");
  await show(h1, "dns-add", containers[0].address, "-h", "web");
  await until("h3 knows the name", async () => (await h3.ok("dns-lookup", "web")) !== "");
  await show(h3, "dns-lookup", "web");

  next("How fast is it? Encrypted between containers on h1 and h2, against the bare wire between the hosts.");
  const bare = await tcpGbits(h1, h2, h2.address, { seconds: 3 });
  const [{ container: here }, , { container: there, address: far }] = containers;
  const overlay = await tcpGbits(here, there, far, { seconds: 3 });
  const ping = median(await pingTimes(here, far, 100));
  say(`    bare wire  ${bare.toFixed(2)} Gbit/s`);
  say(
    `    weave      ${overlay.toFixed(2)} Gbit/s, encrypted, in user space; a ping takes ${ping.toFixed(2)} ms (median)`,
  );

  next("The router of h2 is killed, without warning.");
  const pid = h2.routerPid!;
  process.kill(pid, "SIGKILL");
  const began = performance.now();
  say(`    kill -9 ${pid}`);
  await until("h2 is back", async () => (await here.ping(far, { count: 1, wait: 0.2 })) === 1, 60_000);
  say(
    `    back after ${((performance.now() - began) / 1000).toFixed(2)} s, with the same identity and the same peers:`,
  );
  for (const host of hosts) await connected(host, 2, 60_000);
  await show(h2, "status", "connections");

  next("h3 dies for good. A takeover recovers its addresses; ipam explain shows owners and reasons.");
  for (const id of [h3.supervisorPid, h3.routerPid]) process.kill(id!, "SIGKILL");
  await until("h3 is unreachable", async () => (await h1.ok("status", "ipam")).includes("- unreachable!"), 60_000);
  await show(h1, "status", "ipam");
  await show(h2, "rmpeer", "h3");
  await show(h1, "ipam", "explain", containers[4].address);

  if (docker === undefined) say(`\nThe step with Docker is left out: ${dockerImpossible()}`);
  else await dockerJoins(docker, h1, await makeImage(lab.folder));

  next("Everything goes away again.");
  for (const host of [...hosts, ...(docker === undefined ? [] : [docker])])
    await show(host, "reset", ...(host === h3 ? ["--force"] : []));
}

/** A fourth host, with Docker: its containers are on the network with nothing said but `weave env`. */
async function dockerJoins(docker: DockerHost, peer: Host, image: string): Promise<void> {
  next(`A fourth host, ${docker.name}, has a Docker engine. Its containers join by themselves.`);
  await docker.boot(image);
  await show(docker, "launch", "--name", docker.peerName, "--password", "open sesame", peer.address);
  await connected(docker, 2, 60_000);
  for (const line of ["docker run -d --name app busybox top", "docker exec app ping -c 2 web"]) {
    say(`    ${docker.name}# eval $(weave env); ${line}`);
    print(await docker.type(`eval $(weave env); ${line}`));
  }
}

/** Without root: the same in a user namespace, where this user is root. */
function inUserNamespace(): number {
  const self = fileURLToPath(import.meta.url);
  say("Not root: trying an unprivileged user namespace.");
  const script = `mount -t tmpfs tmpfs /run && exec "${process.execPath}" "${self}"`;
  const { status } = spawnSync("unshare", ["--user", "--map-root-user", "--net", "--mount", "sh", "-c", script], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: "1" },
  });
  if (status === 0) return 0;
  say("\nThe demo makes network interfaces, and could not do so here. It needs one of:");
  say("  - root:  sudo npm run demo");
  say("  - unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone,");
  say("    kernel.apparmor_restrict_unprivileged_userns) and a /dev/net/tun that this user may open.");
  return status ?? 1;
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) return inUserNamespace();
  if (!existsSync("/dev/net/tun")) {
    say("There is no /dev/net/tun: load the driver with 'modprobe tun', or give this container --device /dev/net/tun.");
    return 1;
  }
  let lab: Lab | undefined;
  // Leaving by process.exit lets the lab clean up: see Lab.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));
  try {
    const withDocker = dockerImpossible() === undefined;
    let docker: DockerHost | undefined;
    lab = await Lab.createWith(withDocker ? 4 : 3, (options) => {
      if (options.name !== "h4") return new Host(options);
      docker = new DockerHost(options);
      return docker;
    });
    await demo(lab, docker);
    await lab.dispose();
    const installed = process.env.WEAVE_SETUP_PACKAGES;
    say("\nDone. All hosts, their interfaces and their processes are gone.");
    if (installed) say(`These packages were installed for the demo, and stay: ${installed}`);
    return 0;
  } catch (error) {
    say(`\nThe demo failed: ${errorText(error)}`);
    for (const host of lab?.hosts ?? [])
      if (host.log() !== "") say(`--- log of ${host.name}\n${host.log().trimEnd().split("\n").slice(-8).join("\n")}`);
    await lab?.dispose();
    return 1;
  }
}

process.exit(await main());
