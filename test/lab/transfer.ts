import assert from "node:assert/strict";
import type { Host } from "#test/lab/host.js";
import type { Namespace } from "#test/lab/namespace.js";

let port = 20_000;

/**
 * Sends random bytes by TCP and compares their SHA-256 at both ends. Valid checksums would not do: they are computed over
 * whatever the datapath makes of the data.
 */
export async function transfer(from: Namespace, to: Namespace, address: string, bytes: number): Promise<void> {
  const at = String(port++);
  const receiver = await to.background("receive", at);
  try {
    const { code, stdout, stderr } = await from.program("send", address, at, String(bytes));
    assert.equal(code, 0, `${bytes} bytes to ${address}: ${stderr}`);
    assert.equal(await receiver.result, stdout.trim());
  } finally {
    receiver.kill();
  }
}

/** TCP and UDP segments whose checksum the kernel of `namespace` found to be wrong (proc_net(5), snmp and snmp6). */
export async function checksumErrors(namespace: Namespace): Promise<number> {
  const text = await namespace.must("cat", "/proc/net/snmp");
  const lines = text.split("\n").filter((line) => /^(Tcp|Udp):/.test(line));
  let errors = 0;
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const at = lines[i].split(" ").indexOf("InCsumErrors");
    if (at > 0) errors += Number(lines[i + 1].split(" ")[at]);
  }
  return errors;
}

/** The wire becomes one of packets as a real one's: no segment of 64 KB crosses it whole. */
export async function withoutOffloads(...hosts: Host[]): Promise<void> {
  for (const host of hosts) {
    const off = ["tso", "gso", "tx-udp-segmentation", "tx-udp_tnl-segmentation"].flatMap((name) => [name, "off"]);
    await host.must("ethtool", "-K", host.device, ...off);
  }
}

/** Loses a share of the datagrams to UDP `ports` that reach each host, by chance; 0: none any more. */
export async function lose(share: number, ports: readonly number[], ...hosts: Host[]): Promise<void> {
  const script = ["add table inet lose", "delete table inet lose"];
  if (share > 0) {
    script.push(
      "add table inet lose",
      "add chain inet lose input { type filter hook prerouting priority -350; }",
      `add rule inet lose input udp dport { ${ports.join(", ")} } numgen random mod 100000 < ${Math.round(share * 100_000)} drop`,
    );
  }
  for (const host of hosts) await host.must("nft", script.join("; "));
}

/** Sends what leaves a host through tc-netem(8), with these of its arguments and no others. */
export async function impair(host: Host, ...netem: string[]): Promise<void> {
  const root = ["dev", host.device, "root"];
  // Not "replace": that keeps what is not named again, the share of damaged packets for one. There may be none to delete.
  await host.run("tc", "qdisc", "delete", ...root);
  await host.must("tc", "qdisc", "add", ...root, "netem", ...netem);
}
