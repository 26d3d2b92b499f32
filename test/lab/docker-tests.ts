import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { type DockerHost, dockerLab, dockerTestsImpossible, networkThere } from "#test/lab/docker-host.js";
import { chosenEngine } from "#test/lab/engine.js";
import type { Lab } from "#test/lab/lab.js";
import { connected } from "#test/lab/wait.js";

/** What a user of the proxy has in the shell. */
export const PROXY_ENV = "eval $(weave env);";
/** Flags of `docker network create` for a network with our drivers. */
export const MESH_DRIVERS = "--driver weavemesh --ipam-driver weavemesh";
/** Both hosts allocate from this subnet by default, so that tests know the rest of the range to be free. */
export const DEFAULT_SUBNET_FLAGS = ["--ipalloc-default-subnet", "10.32.0.0/16"];

type TestBody = (t: TestContext) => Promise<void>;

/** Defines a test on the hosts of its file. */
export interface DockerTest {
  (name: string, body: TestBody): void;
  (name: string, options: { readonly timeout: number }, body: TestBody): void;
}

/**
 * Makes hosts with Docker engines before the tests of a file, and removes them after. Where there can be no engine the tests
 * are skipped, with the reason.
 *
 * @param prepare runs before the first test
 */
export function dockerTests(
  count: number,
  prepare: (hosts: readonly DockerHost[], lab: Lab<DockerHost>) => Promise<void>,
): DockerTest {
  const skip = dockerTestsImpossible();
  let lab: Lab<DockerHost> | undefined;
  before(async (t) => {
    if (skip !== undefined) return;
    const engine = chosenEngine();
    if ("diagnostic" in t) t.diagnostic(`engine: ${engine.version}`);
    lab = await dockerLab(count, engine);
    await prepare(lab.hosts, lab);
  });
  after(() => lab?.dispose());
  return (name: string, first: TestBody | { readonly timeout: number }, second?: TestBody) => {
    if (typeof first === "function") void test(name, { skip }, first);
    else void test(name, { skip, ...first }, second);
  };
}

/** Launches a router on each host; the first is the target of the others. Resolves when Docker has the network `weave`. */
export async function launchAll(hosts: readonly DockerHost[], ...flags: string[]): Promise<void> {
  const [first, ...others] = hosts;
  await first.launch(...flags);
  for (const host of others) await host.launch(...flags, "10.99.0.1");
  if (others.length > 0) await connected(first, others.length);
  for (const host of hosts) await networkThere(host);
}

/** A container's address on a Docker network. */
export const addressOf = (host: DockerHost, container: string, network = "weave"): Promise<string> =>
  host.type(`docker inspect -f '{{(index .NetworkSettings.Networks "${network}").IPAddress}}' ${container}`);

/** Addresses of a name in weaveDNS, as a host finds them, sorted. */
export const addressesOfName = async (host: DockerHost, name: string): Promise<string[]> =>
  (await host.ok("dns-lookup", name)).split("\n").filter(Boolean).sort();

/** Types a line that must fail. @returns its standard error */
export async function refused(host: DockerHost, line: string): Promise<string> {
  const { code, stderr } = await host.shell(line);
  assert.notEqual(code, 0, line);
  return stderr;
}
