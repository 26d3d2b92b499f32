import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { type ContainerObserver, ContainerTracker } from "#docker/containers/container-tracker.js";
import { compareVersions, Engine } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { followEngine } from "#docker/engine/events.js";
import { JsonStream } from "#docker/engine/json-stream.js";
import { type Container, containerShape } from "#docker/engine/shapes.js";
import { silentLog } from "#src/log.js";
import { until } from "#test/lab/wait.js";

/**
 * Servers with the published API of engine versions that cannot be installed here (moby, api/docs and api/swagger.yaml): accepted
 * versions, missing fields, and the form of events.
 */
interface FakeEngine {
  readonly api: string;
  readonly min: string;
  /** An inspected container. */
  readonly inspect: (id: string) => object;
  /** One event, as written on the stream. */
  readonly event: (action: string, id: string) => string;
}

const common = (id: string) => ({
  Id: id,
  Name: "/web",
  State: { Running: true, Pid: 4711, StartedAt: "2026-01-01T00:00:00Z", Error: "", Paused: false },
  Config: { Hostname: "web", Domainname: "weave.local", Env: null, Entrypoint: ["/w/w"], Labels: {} },
  HostConfig: { NetworkMode: "weave", Binds: null, ExtraHosts: null, RestartPolicy: { Name: "always" } },
});
const end = {
  NetworkID: "n",
  EndpointID: "e",
  IPAddress: "10.32.0.1",
  IPPrefixLen: 12,
  MacAddress: "0a:57:0a:20:00:01",
};

const ENGINES: Readonly<Record<string, FakeEngine>> = {
  "1.12, of 2016": {
    api: "1.24",
    min: "1.12",
    inspect: (id) => ({
      ...common(id),
      NetworkSettings: { IPAddress: "10.32.0.1", Networks: { weave: { ...end, Aliases: null, Links: null } } },
    }),
    // Objects without separators.
    event: (action, id) =>
      JSON.stringify({
        status: action,
        id,
        from: "busybox",
        Type: "container",
        Action: action,
        Actor: { ID: id, Attributes: { name: "web" } },
      }),
  },
  "20.10": {
    api: "1.41",
    min: "1.12",
    inspect: (id) => ({
      ...common(id),
      NetworkSettings: { IPAddress: "", Networks: { weave: { ...end, Aliases: ["shop"] } } },
    }),
    event: (action, id) =>
      `${JSON.stringify({ status: action, id, from: "busybox", Type: "container", Action: action, Actor: { ID: id, Attributes: {} } })}\n`,
  },
  "25.0": {
    api: "1.44",
    min: "1.24",
    inspect: (id) => ({
      ...common(id),
      NetworkSettings: { IPAddress: "", Networks: { weave: { ...end, Aliases: ["shop"], DNSNames: ["web", "shop"] } } },
    }),
    event: (action, id) =>
      `${JSON.stringify({ status: action, id, Type: "container", Action: action, Actor: { ID: id, Attributes: {} } })}\n`,
  },
  "29.0, which accepts no version before 1.44": {
    api: "1.52",
    min: "1.44",
    // No top-level addresses, no MacAddress; no status, id and from in events; json-seq.
    inspect: (id) => ({
      ...common(id),
      NetworkSettings: { Networks: { weave: { ...end, DNSNames: ["web"], GwPriority: 0 } } },
    }),
    event: (action, id) =>
      `\x1e${JSON.stringify({ Type: "container", Action: action, Actor: { ID: id, Attributes: {} }, scope: "local" })}\n`,
  },
  "one that accepts no version before 1.60": {
    api: "1.62",
    min: "1.60",
    inspect: (id) => ({ ...common(id), NetworkSettings: { Networks: { weave: end } } }),
    event: (action, id) =>
      `${JSON.stringify({ Type: "container", Action: action, Actor: { ID: id, Attributes: null } })}\n`,
  },
};

const folder = mkdtempSync(join(tmpdir(), "weave-engine-"));
const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

let sockets = 0;

/** Serves the API of an engine whose containers are `running`. */
async function serve(fake: FakeEngine, running: Set<string>) {
  const path = join(folder, `${sockets++}.sock`);
  const streams = new Set<ServerResponse>();
  const versions = new Set<string>();
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const json = (body: unknown, status = 200) => {
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    };
    const url = request.url ?? "";
    if (url === "/_ping") return void response.writeHead(200, { "Api-Version": fake.api }).end("OK");
    if (url === "/version") return json({ Version: "x", ApiVersion: fake.api, MinAPIVersion: fake.min });
    const [, version, rest] = /^\/v([\d.]+)(\/.*)$/.exec(url) ?? ["", "", ""];
    versions.add(version);
    if (compareVersions(version, fake.min) < 0)
      return json(
        { message: `client version ${version} is too old. Minimum supported API version is ${fake.min}` },
        400,
      );
    if (compareVersions(version, fake.api) > 0) return json({ message: `client version ${version} is too new` }, 400);
    if (rest.startsWith("/events")) {
      response.writeHead(200).flushHeaders();
      streams.add(response);
      return;
    }
    if (rest === "/containers/json") return json([...running].map((Id) => ({ Id, State: "running" })));
    const id = /^\/containers\/(\w+)\/json$/.exec(rest)?.[1];
    if (id === undefined || !running.has(id)) return json({ message: `No such container: ${id}` }, 404);
    return json(fake.inspect(id));
  };
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    versions,
    say: (text: string) => {
      for (const stream of streams) stream.write(text);
    },
    /** Closes all connections, as a restarting daemon does. */
    cut: () => {
      for (const stream of streams) stream.destroy();
      streams.clear();
    },
    listening: () => streams.size > 0,
  };
}

const id = (text: string) => text.padEnd(64, "0");

for (const [name, fake] of Object.entries(ENGINES)) {
  test(`engine ${name}: starts and ends of containers are detected, also when events were missed`, async () => {
    const running = new Set([id("a"), id("b")]);
    const server = await serve(fake, running);
    const seen: string[] = [];
    const observer: ContainerObserver = {
      running: (container: Container) =>
        void seen.push(`+${container.Id[0]} ${container.NetworkSettings.Networks.weave.IPAddress}`),
      ended: (ended) => void seen.push(`-${ended[0]}`),
    };
    const held = new Set([id("b"), id("e"), "weave:expose", "ns1234"]);
    const ended: string[] = [];
    const holder = {
      idents: () => held,
      containerEnded: (ident: string) => void ended.push(ident),
      containerRuns: () => {},
    };
    const engine = new Engine(parseEngineAddress(`unix://${server.path}`));
    const containers = new ContainerTracker({ engine, lifecycles: [holder], observers: [observer], log: silentLog });
    const stop = new AbortController();
    try {
      void followEngine(engine, [containers, { catchUp: () => void seen.push("ready") }], silentLog, stop.signal);
      await until("it is ready", () => seen.includes("ready"));
      assert.deepEqual(seen.splice(0).sort(), ["+a 10.32.0.1", "+b 10.32.0.1", "ready"]);
      assert.deepEqual(ended.splice(0), [id("e")], "an ident of a container that does not run; other idents stay");

      running.add(id("c"));
      server.say(fake.event("start", id("c")));
      await until("the start is noticed", () => seen.includes("+c 10.32.0.1"));
      running.delete(id("a"));
      const death = fake.event("die", id("a"));
      server.say(death.slice(0, 20));
      await new Promise((resolve) => setTimeout(resolve, 20));
      server.say(death.slice(20));
      await until("the death is noticed", () => seen.includes("-a"));

      seen.splice(0);
      ended.splice(0);
      // While the engine is stopped one container ends, and another starts.
      running.delete(id("b"));
      running.add(id("d"));
      server.cut();
      await until("it has compared again", () => seen.includes("ready"));
      assert.ok(seen.includes("-b") && seen.includes("+d 10.32.0.1"), seen.join());
      assert.deepEqual([...new Set(ended)].sort(), [id("b"), id("e")]);
      const runs = await Promise.all(["b", "d"].map((each) => containers.isRunning(id(each))));
      assert.deepEqual(runs, [false, true]);
    } finally {
      stop.abort();
      containers.stop();
    }
    for (const version of server.versions)
      assert.ok(compareVersions(version, fake.min) >= 0 && compareVersions(version, fake.api) <= 0, version);
  });
}

test("a start through the proxy is served before its event, and aborts the work of the earlier run", async () => {
  const fake = ENGINES["20.10"];
  const running = new Set<string>();
  const server = await serve(fake, running);
  const signals: AbortSignal[] = [];
  const ended: string[] = [];
  const engine = new Engine(parseEngineAddress(`unix://${server.path}`));
  const observers: ContainerObserver[] = [{ running: () => {}, ended: (each) => void ended.push(each) }];
  const containers = new ContainerTracker({ engine, lifecycles: [], observers, log: silentLog });
  const stop = new AbortController();
  /** Waits until the run ends, as an attachment that waits for an address. */
  const wait = (_container: Container, signal: AbortSignal) => {
    signals.push(signal);
    return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  };
  try {
    void followEngine(engine, [containers], silentLog, stop.signal);
    await until("it listens", () => containers.count === 0 && server.listening());
    running.add(id("a"));
    const first = containers.serveStarted(id("a"), wait);
    await until("the first start is served", () => signals.length === 1);
    // The engine's events stall: no event comes for its end and its next start.
    const second = containers.serveStarted(id("a"), wait);
    await first;
    await until("the second start is served", () => signals.length === 2);
    assert.ok(signals[0].aborted && !signals[1].aborted);
    server.say(fake.event("die", id("a")));
    await second;
    assert.ok(signals[1].aborted, "its end ends the work for it");
    // A container that ended before it was inspected.
    ended.splice(0);
    await containers.serveStarted(id("b"), wait);
    assert.deepEqual([ended, containers.count, signals.length], [[id("b")], 0, 2]);
  } finally {
    stop.abort();
    containers.stop();
  }
});

test("a start whose work fails rejects, and observers are not informed of it", async () => {
  const server = await serve(ENGINES["20.10"], new Set([id("a")]));
  const informed: string[] = [];
  const engine = new Engine(parseEngineAddress(`unix://${server.path}`));
  const observers: ContainerObserver[] = [{ running: ({ Id }) => void informed.push(Id) }];
  const containers = new ContainerTracker({ engine, lifecycles: [], observers, log: silentLog });
  await assert.rejects(
    containers.serveStarted(id("a"), () => Promise.reject(new Error("no address"))),
    /no address/,
  );
  assert.deepEqual(informed, []);
  await containers.serveStarted(id("a"), async () => {});
  assert.deepEqual(informed, [id("a")]);
});

test("an engine that is too old, does not answer, or answers rubbish is an error", async () => {
  const old = await serve({ ...ENGINES["20.10"], api: "1.23" }, new Set());
  await assert.rejects(new Engine({ socketPath: old.path }).runningIds(), /API 1\.23 is too old: 1\.24 is needed/);
  const away = new Engine({ socketPath: join(folder, "none.sock") });
  await assert.rejects(away.runningIds(), { code: "WEAVE_DOCKER_UNAVAILABLE" });
  const path = join(folder, "rubbish.sock");
  const answers = ["<html>", '{"Id": 7}', "[]", '{"Id":"x","State":null}'];
  const server = createServer((request, response) => {
    response.setHeader("Api-Version", "1.41");
    response.end(request.url === "/_ping" ? "OK" : answers[Number(/\d+(?=\/json)/.exec(request.url ?? "")?.[0] ?? 0)]);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  for (let i = 0; i < answers.length; i++)
    await assert.rejects(new Engine({ socketPath: path }).container(String(i)), { code: "WEAVE_DOCKER" });
});

test("addresses of engines are parsed", () => {
  assert.deepEqual(parseEngineAddress("unix:///var/run/docker.sock"), { socketPath: "/var/run/docker.sock" });
  assert.deepEqual(parseEngineAddress("tcp://10.0.0.1:2375"), { host: "10.0.0.1", port: 2375 });
  assert.deepEqual(parseEngineAddress("tcp://host"), { host: "host", port: 2375 });
  for (const text of ["", "http://x", "tcp://", "tcp://x:99999", "ssh://user@host", "docker.sock"])
    assert.throws(() => parseEngineAddress(text), { code: "WEAVE_FLAG_INVALID" }, text);
  assert.throws(() => parseEngineAddress("tcp://x", { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: folder }), /ca\.pem/);
});

test("versions are compared by their numbers", () => {
  const sorted = ["1.44", "1.9", "1.24", "2.0", "1.100"].sort(compareVersions);
  assert.deepEqual(sorted, ["1.9", "1.24", "1.44", "1.100", "2.0"]);
});

test("a stream of JSON objects is split into the objects, in any framing and chunks", () => {
  const objects = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 6 });
  fc.assert(
    fc.property(
      objects,
      fc.constantFrom("", "\n", "\r\n", "\n\x1e"),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (values, joint, sizes) => {
        const bytes = Buffer.from(values.map((value) => joint + JSON.stringify(value)).join("") + joint);
        const stream = new JsonStream();
        const found: unknown[] = [];
        for (let at = 0; at < bytes.length; ) {
          const size = sizes.next().value as number;
          found.push(...stream.push(bytes.subarray(at, at + size)).map((text) => JSON.parse(text)));
          at += size;
        }
        assert.deepEqual(
          JSON.stringify(found),
          JSON.stringify(values.map((value) => JSON.parse(JSON.stringify(value)))),
        );
      },
    ),
    { numRuns: 500 },
  );
  const stream = new JsonStream();
  assert.throws(() => {
    for (;;) stream.push(Buffer.from(`{"x":"${"y".repeat(100_000)}`));
  }, /more than/);
});

test("fields that are null or absent are empty", () => {
  const least = containerShape.parse({
    Id: "x",
    State: { Running: false },
    Config: {},
    HostConfig: {},
    NetworkSettings: {},
  });
  assert.deepEqual(
    [least.Name, least.State.Pid, least.Config.Env, least.HostConfig.RestartPolicy, least.NetworkSettings.Networks],
    ["", 0, [], { Name: "" }, {}],
  );
});
