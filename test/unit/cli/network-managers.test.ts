import assert from "node:assert/strict";
import { matchesGlob } from "node:path";
import { test } from "node:test";
import { INTERFACE_PATTERNS } from "#cli/support/network-managers.js";
import { TAP_NAME } from "#router/frames/service.js";
import { pairNames } from "#src/linux/links/docker-endpoint.js";
import { hostIfname } from "#src/linux/links/interface-names.js";
import { cniHostIfname } from "#src/linux/netns/cni-ident.js";

test("network managers get a pattern for each interface of weave on the host, and none for others", () => {
  const covered = (name: string) => INTERFACE_PATTERNS.some((pattern) => matchesGlob(name, pattern));
  const { outside, inside } = pairNames("0123456789abcdef");
  const cni = cniHostIfname("cni:weave:0123456789abcdef:eth0");
  for (const name of [TAP_NAME, "weave-check", hostIfname({ inode: 4_026_532_000 }), cni, outside, inside])
    assert.ok(covered(name), name);
  for (const name of ["eth0", "veth1234567", "docker0", "wlan0"]) assert.ok(!covered(name), name);
});
