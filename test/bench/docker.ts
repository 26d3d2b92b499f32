/**
 * `npm run bench:docker [-- --engine 29]`: what the plugin and the proxy add to `docker run`, beside plain Docker in the same run; how soon a
 * container's name is known on the other host; and 200 containers on one host. The engine is one of `scripts/engines.sh`.
 */
import { option } from "#test/bench/bench.js";
import { type DockerHost, dockerLab, dockerTestsImpossible, networkThere } from "#test/lab/docker-host.js";
import { chosenEngine } from "#test/lab/engine.js";
import type { Lab } from "#test/lab/lab.js";
import { median } from "#test/lab/measure.js";
import { connected, until } from "#test/lab/wait.js";

const RUNS = Number(process.env.WEAVE_BENCH_RUNS ?? 20);
/** Containers on one host; 0 leaves this part out. */
const MANY = Number(process.env.WEAVE_BENCH_CONTAINERS ?? 200);
/** `docker run` commands at the same time: as many as there are cores on a small host. */
const AT_ONCE = 4;
const PROXY = "docker -H unix:///var/run/weave/weave.sock";
const RUN = {
  plain: "docker run --rm busybox true",
  // What Docker itself takes for a network that is not its default one.
  user: "docker run --rm --network own busybox true",
  plugin: "docker run --rm --network weave busybox true",
  // Without the second interface that Docker adds for the way out.
  internal: "docker run --rm --network closed busybox true",
  proxy: `${PROXY} run --rm busybox true`,
};

const say = (what: string, value: string) => console.log(`${what.padEnd(64)} ${value}`);
const ms = (value: number) => `${value.toFixed(0)} ms`;

async function timed(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await run();
  return performance.now() - began;
}

async function added(h1: DockerHost): Promise<void> {
  await h1.type("docker network create own");
  await h1.type("docker network create -d weavemesh --ipam-driver weavemesh --subnet 10.47.0.0/16 --internal closed");
  const times = Object.fromEntries(Object.keys(RUN).map((kind) => [kind, [] as number[]]));
  // In turns, so that a slow moment of the machine hits all alike.
  for (let i = 0; i <= RUNS; i++) {
    for (const [kind, line] of Object.entries(RUN)) {
      const time = await timed(() => h1.type(line));
      if (i > 0) times[kind].push(time);
    }
  }
  // The least time is that of a moment without other work on the machine.
  const least = (kind: keyof typeof RUN) => Math.min(...times[kind]);
  const of = (kind: keyof typeof RUN) => median([...times[kind]].sort((a, b) => a - b));
  const more = (kind: keyof typeof RUN) =>
    `${ms(of(kind))}, least ${ms(least(kind))}; ${ms(of(kind) - of("plain"))}, least ${ms(least(kind) - least("plain"))}`;
  say(
    `docker run --rm busybox true, median of ${RUNS}: Docker's bridge`,
    `${ms(of("plain"))}, least ${ms(least("plain"))}`,
  );
  say("  a bridge network of the user's; more than the first", more("user"));
  say("  the plugin (--network weave); more than the first", more("plugin"));
  say("  the plugin, an internal network; more than the first", more("internal"));
  say("  the proxy; more than the first", more("proxy"));
  await h1.type("docker network rm own closed");
}

/**
 * When the engine has reported the start of a container, in ms since 1970: the engine and this process read one clock. Its `StartedAt` is
 * earlier, in engine 29 by all of the time in which it connects the container to its networks.
 */
async function startEvent(host: DockerHost, id: string): Promise<number> {
  const filters = `--filter container=${id} --filter event=start --since 10m --until $(date +%s.%N)`;
  return Number(await host.type(`docker events ${filters} --format '{{.TimeNano}}'`)) / 1e6;
}

async function names(h1: DockerHost, h2: DockerHost): Promise<void> {
  const server = (await h2.ok("dns-args")).split(/[ =]/)[1];
  for (const [kind, line] of [
    ["plugin", "docker run -d --network weave"],
    ["proxy", `${PROXY} run -d`],
  ]) {
    const since: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const name = `${kind}${i}`;
      const asking = await h2.background("dns-await", server, `${name}.weave.local`);
      const id = await h1.type(`${line} --name ${name} busybox sleep 600`);
      const known = Number(await asking.result);
      since.push(known - (await startEvent(h1, id)));
      await h1.type(`docker rm -f ${id}`);
    }
    const sorted = since.sort((a, b) => a - b);
    say(
      `Docker's start event until the name resolves on the other host, ${kind}`,
      `${ms(median(sorted))} median, ${ms(sorted[sorted.length - 1])} longest of ${RUNS}`,
    );
  }
}

async function inTurns(count: number, run: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const memory = async (host: DockerHost) =>
  Number(
    await host.type(
      `awk '/VmRSS/ {print $2}' /proc/$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' /run/weave/router.pid)/status`,
    ),
  ) / 1_024;

/** Addresses held, and names, in one order. */
async function state(host: DockerHost): Promise<string> {
  const { owned } = JSON.parse((await host.api("GET", "/ip")).body) as { owned: object[] };
  const names = (await host.ok("status", "dns")).split("\n");
  return [...owned.map((each) => JSON.stringify(each)), ...names].sort().join("\n");
}

async function many(h1: DockerHost, h2: DockerHost): Promise<void> {
  for (const [kind, line] of [
    ["plain", "docker run -d"],
    ["plugin", "docker run -d --network weave"],
    ["proxy", `${PROXY} run -d`],
  ]) {
    const before = await memory(h1);
    const time = await timed(() => inTurns(MANY, (i) => h1.type(`${line} --name ${kind}-${i} busybox sleep 6000`)));
    say(`${MANY} containers started, ${AT_ONCE} at once: ${kind}`, `${(time / 1_000).toFixed(1)} s`);
    if (kind !== "plain") {
      const count = async () =>
        (await h2.ok("status", "dns")).split("\n").filter((name) => name.startsWith(`${kind}-`)).length;
      await until("all names are known on the other host", async () => (await count()) === MANY, 60_000);
      say("  router's memory before and after", `${before.toFixed(0)} and ${(await memory(h1)).toFixed(0)} MB`);
      const all = await state(h1);
      const relaunch = () => h1.launch("10.99.0.2");
      await h1.weave("stop");
      const launch = await timed(relaunch);
      say("  router stopped and launched again: until it answers", ms(launch));
      const reclaim = await timed(() =>
        until("addresses and names are as before", async () => (await state(h1)) === all, 60_000),
      );
      say("  from then until it has all addresses and names", ms(reclaim));
      await connected(h1, 1);
      // The disk is lost too: what is in use is found on the containers themselves.
      await h1.weave("stop");
      await h1.type("rm /var/lib/weave/weavedata.db*");
      const found = await timed(async () => {
        await relaunch();
        await until(
          "all addresses are found",
          async () => (JSON.parse((await h1.api("GET", "/ip")).body) as { owned: unknown[] }).owned.length >= MANY,
          60_000,
        );
        await until("all names are known again", async () => (await count()) === MANY, 60_000);
      });
      say("  the same without its database: until all is found", ms(found));
      await connected(h1, 1);
      await networkThere(h1);
    }
    await inTurns(MANY, (i) => h1.type(`docker rm -f ${kind}-${i}`));
  }
}

const engine = chosenEngine(option("--engine"));
const impossible = dockerTestsImpossible({ engine });
if (impossible !== undefined) {
  console.error(`not possible here: ${impossible}`);
  process.exit(1);
}
say("engine", engine.version ?? "");
const lab: Lab<DockerHost> = await dockerLab(2, engine);
try {
  const [h1, h2] = lab.hosts;
  await h1.launch();
  await h2.launch("10.99.0.1");
  await connected(h1, 1);
  await networkThere(h1);
  await h1.ok("prime");
  await added(h1);
  await names(h1, h2);
  if (MANY > 0) await many(h1, h2);
} finally {
  await lab.dispose();
}
