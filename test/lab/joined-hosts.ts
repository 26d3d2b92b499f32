import assert from "node:assert/strict";
import type { Host } from "#test/lab/host.js";
import type { Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

/**
 * Makes one network of two hosts with a complete installation: checks it, launches, connects, and attaches a container to each.
 *
 * @returns the container of the first host, 10.32.0.1, which the other one, 10.32.0.2, answers
 */
export async function joinedHosts(h1: Host, h2: Host): Promise<Namespace> {
  for (const host of [h1, h2]) {
    assert.match(await host.ok("setup"), /^files +ok +complete$/m);
    await host.launch("--password", "s3cret");
  }
  await h2.ok("connect", h1.address);
  await connected(h1, 1);
  const c1 = await h1.attach("c1", "10.32.0.1/12");
  await h2.attach("c2", "10.32.0.2/12");
  await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
  return c1;
}
