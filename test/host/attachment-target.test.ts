import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { EngineError } from "#docker/engine/engine.js";
import { type Container, containerShape } from "#docker/engine/shapes.js";
import { findAttachmentTarget, type InspectContainer } from "#router/attachments/attachment-target.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";

const skip = hostTestsImpossible() ?? false;
/** A process in a network namespace of its own. */
let pid = 0;
let end = () => {};
before(async () => {
  if (skip !== false) return;
  const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec sleep 60"]);
  end = () => void child.kill();
  await once(child.stdout, "data");
  pid = child.pid!;
});
after(() => end());

const [infra, member, other] = ["a", "b", "c"].map((digit) => digit.repeat(64));

const container = (id: string, mode: string, running = true): Container =>
  containerShape.parse({
    Id: id,
    State: { Running: running, Pid: running ? pid : 0 },
    Config: { Hostname: "shop.weave.local" },
    HostConfig: { NetworkMode: mode },
    NetworkSettings: {},
  });

const engine =
  (...containers: Container[]): InspectContainer =>
  async (id) => {
    const found = containers.find(({ Id }) => Id === id);
    if (found === undefined) throw new EngineError(404, "no such container");
    return found;
  };

test("the addresses of a shared namespace belong to the container that it was made for, the name to the named one", {
  skip,
}, async () => {
  const inspect = engine(container(infra, "bridge"), container(member, `container:${infra}`));
  const target = await findAttachmentTarget(member, inspect);
  assert.deepEqual([target.ident, target.container?.Id, target.fqdn], [infra, member, "shop.weave.local"]);
  assert.equal((await findAttachmentTarget(infra, inspect)).ident, infra);
});

test("a container in the namespace of one that has ended, is removed, or runs elsewhere holds its own addresses", {
  skip,
}, async () => {
  const named = container(member, `container:${infra}`);
  const elsewhere = {
    ...container(infra, "bridge"),
    State: { ...container(infra, "bridge").State, Pid: process.ppid },
  };
  for (const inspect of [engine(named), engine(named, container(infra, "bridge", false)), engine(named, elsewhere)])
    assert.equal((await findAttachmentTarget(member, inspect)).ident, member);
  const host = container(other, "container:");
  assert.equal((await findAttachmentTarget(other, engine(host))).ident, other);
});
