import assert from "node:assert/strict";
import { linkSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ServiceNamespaces } from "#docker/services/service-namespaces.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";
import type { ServiceRules } from "#src/linux/firewall/services/service-rules.js";
import type { Netns } from "#src/linux/netns/netns.js";
import { silentLog } from "#src/log.js";
import { until } from "#test/lab/wait.js";

/** Files stand for namespaces: a second link to one has its inode, as a namespace that the kernel makes after the end of another may have. */
function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "weave-services-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

const place = (path: string): Netns => ({ path, inode: statSync(path).ino });

/** Records the paths at which rules are set. */
class Recorder implements ServiceRules {
  readonly kind = "recorded";
  readonly applied: string[] = [];

  async apply(netns: string): Promise<void> {
    this.applied.push(netns);
  }
  async remove(): Promise<void> {}
}

const SERVICES: readonly ServiceAddress[] = [{ address: "10.1.1.2", targets: ["10.1.1.3"], draining: [] }];

test("a namespace gets its rules, though one that has ended had the same inode and the same rules", async (t) => {
  const parent = folder(t);
  const [first, second] = ["first", "second"].map((name) => join(parent, name));
  writeFileSync(first, "");
  const rules = new Recorder();
  const namespaces = new ServiceNamespaces(silentLog, rules);
  t.after(() => namespaces.stop());
  namespaces.set([{ netns: place(first), services: SERVICES }]);
  await until("the first has rules", () => rules.applied.length === 1);

  // Both are there at first: it is one namespace with two paths.
  linkSync(first, second);
  namespaces.set([{ netns: place(second), services: SERVICES }]);
  namespaces.set([{ netns: place(first), services: SERVICES }]);
  assert.deepEqual(rules.applied, [first]);

  rmSync(first);
  namespaces.set([{ netns: place(second), services: SERVICES }]);
  await until("the second has rules", () => rules.applied.length === 2, 3_000);
  assert.deepEqual(rules.applied, [first, second]);
  assert.equal(namespaces.status.namespaces, 1);
});
