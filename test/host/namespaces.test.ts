import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { hostTestsImpossible } from "#test/lab/requirements.js";

const LIST = new URL("../../src/linux/netns/inspect.js", import.meta.url).href;

/** The first process of a namespace of processes: a namespace's first process gets a higher id than its second one. */
const PROCESSES = `
set -e
echo 500 > /proc/sys/kernel/ns_last_pid
unshare --net sleep 30 & first=$!
until [ "$(readlink /proc/$first/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
sleep 0.05
echo 300 > /proc/sys/kernel/ns_last_pid
nsenter -t $first --net sleep 30 & second=$!
until [ "$(readlink /proc/$second/ns/net)" = "$(readlink /proc/$first/ns/net)" ]; do sleep 0.01; done
[ $second -lt $first ]
echo $first
exec ${process.execPath} --input-type=module -e '
const { listNamespaces } = await import("${LIST}");
for (const { netns } of listNamespaces()) console.log(netns.path);
'
`;

test("a network namespace is entered by its oldest process, not by the one with the lowest id, which may soon end", {
  skip: hostTestsImpossible() ?? false,
  timeout: 20_000,
}, async () => {
  const flags = ["--pid", "--fork", "--mount-proc", "--kill-child", "--mount", "--net"];
  const { stdout } = await promisify(execFile)("unshare", [...flags, "sh", "-c", PROCESSES], { timeout: 15_000 });
  const [first, ...paths] = stdout.trim().split("\n");
  assert.ok(paths.includes(`/proc/${first}/ns/net`), stdout);
});
