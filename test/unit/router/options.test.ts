import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { readOptions, routerOptions } from "#router/options.js";

const optionsOf = (...args: string[]) => {
  const { options } = parseLaunch(args, { WEAVE_DOCKER_API: "unix:///var/run/docker.sock" });
  const read = readOptions(JSON.stringify(options));
  assert.deepEqual(read, routerOptions(options), "the launch file holds what the command has checked");
  return read;
};

test("the router receives parsed values for each of its services", () => {
  const options = optionsOf(
    "--ipalloc-range=10.2.0.0/16",
    "--ipalloc-init=observer",
    "--dns-domain=Corp.Local",
    "--dns-listen-address=10.0.0.1:5300",
    "--dns-fallback-timeout=500ms",
    "--trusted-subnets=10.1.0.7/16",
    "--port=7000",
    "h2",
    "10.0.0.3:6783",
  );
  assert.equal(options.addresses!.range.text, "10.2.0.0/16");
  assert.deepEqual(options.addresses!.init, { mode: "observer" });
  const { domain, listen, fallbackTimeoutMs } = options.names!;
  assert.deepEqual([domain, listen, fallbackTimeoutMs], ["corp.local.", { host: "10.0.0.1", port: 5300 }, 500]);
  assert.deepEqual(
    options.trustedSubnets.map(({ subnet }) => subnet),
    ["10.1.0.0/16"],
  );
  assert.deepEqual(
    options.targets.map(({ address }) => address),
    ["h2:7000", "10.0.0.3:6783"],
  );
});

test("IPAM and weaveDNS that are off have no options", () => {
  const options = optionsOf("--ipalloc-range=", "--no-dns");
  assert.deepEqual([options.addresses, options.names], [undefined, undefined]);
});

test("ports for this host alone are those of API, status, page and, next to Docker, the proxy; not that of metrics", () => {
  const ports = (...args: string[]) => [...optionsOf(...args).hostPorts].sort();
  assert.deepEqual(ports("--metrics-addr=0.0.0.0:9100", "-H=tcp://127.0.0.1:12375"), [12375, 6782, 6784]);
  assert.deepEqual(ports("--http-addr=/run/x.sock", "--status-addr=", "--proxy=false", "-H=tcp://127.0.0.1:12375"), []);
  assert.deepEqual(ports("--docker-api=", "-H=tcp://127.0.0.1:12375"), [6782, 6784]);
  assert.deepEqual(ports("--docker-api=", "--page-addr=0.0.0.0:6785"), [6782, 6784, 6785]);
});
