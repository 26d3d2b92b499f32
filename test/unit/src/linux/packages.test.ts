import assert from "node:assert/strict";
import { test } from "node:test";
import { installCommands } from "#src/linux/packages.js";

test("each distribution has the command that installs the packages of tools, under its own names", () => {
  const commandOn = (osRelease: string) => installCommands(["ip", "bridge", "nsenter", "nft"], osRelease);
  for (const [osRelease, command] of [
    ["ID=debian\n", "apt-get install iproute2 util-linux nftables"],
    ['NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt-get install iproute2 util-linux nftables"],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install iproute util-linux nftables"],
    ["VARIANT_ID=server\nID=fedora\n", "dnf install iproute util-linux nftables"],
    ["ID='alpine'\n", "apk add iproute2 util-linux nftables"],
    ["ID=manjaro\nID_LIKE=arch", "pacman -S iproute2 util-linux nftables"],
  ])
    assert.deepEqual(commandOn(osRelease), [command], osRelease);
  const unknown = commandOn("ID=nixos\nID_LIKE=\n");
  assert.deepEqual(unknown.length, 4);
  assert.equal(unknown[1], "Fedora and RHEL: dnf install iproute util-linux nftables");
  assert.deepEqual(commandOn(""), unknown);
});
