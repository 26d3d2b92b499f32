/**
 * Overlays of layer 3, set up between the two hosts of a lab as their manuals say; the hosts route between their containers. Their MTU
 * is the largest whose packets fit a wire of 1500 bytes.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bed, type Ends, fed, interfaceExists, routed, routedNetwork } from "#test/bench/bed.js";
import { must } from "#test/lab/namespace.js";

const MTU = 1_440;

/** @param programs paths of nebula and nebula-cert */
export async function nebula(bed: Bed, [program, cert]: readonly string[]): Promise<Ends> {
  const { hosts } = bed.lab;
  const top = bed.folder(hosts[0]);
  const [ca, caKey] = [join(top, "ca.crt"), join(top, "ca.key")];
  await must(cert, "ca", "-name", "lab", "-out-crt", ca, "-out-key", caKey);
  // Names of version 1.10; version 1.6 has -ip and -subnets.
  const help = await must("sh", "-c", `${cert} sign -h 2>&1 || true`);
  const [own, behind] = help.includes("-unsafe-networks") ? ["-networks", "-unsafe-networks"] : ["-ip", "-subnets"];
  for (const [i, host] of hosts.entries()) {
    const folder = bed.folder(host);
    const [crt, key] = [join(folder, "host.crt"), join(folder, "host.key")];
    const from = ["-ca-crt", ca, "-ca-key", caKey, "-name", host.name, own, `10.77.4.${i + 1}/24`];
    await must(cert, "sign", ...from, behind, routedNetwork(i + 1), "-out-crt", crt, "-out-key", key);
    const others = hosts.map(({ address }, n) => `  "10.77.4.${n + 1}": ["${address}:4242"]`).join("\n");
    const route = `{route: ${routedNetwork(2 - i)}, via: 10.77.4.${2 - i}, mtu: ${MTU}}`;
    const any = "[{port: any, proto: any, host: any, local_cidr: 0.0.0.0/0}]";
    writeFileSync(
      join(folder, "config.yml"),
      `pki: {ca: ${ca}, cert: ${crt}, key: ${key}}\nstatic_host_map:\n${others}\nlighthouse: {am_lighthouse: false, hosts: []}\n` +
        `listen: {host: ${host.address}, port: 4242}\ntun: {dev: nb0, mtu: ${MTU}, unsafe_routes: [${route}]}\n` +
        `logging: {level: error, format: text}\nfirewall:\n  outbound: ${any}\n  inbound: ${any}\n`,
    );
    bed.start(host, program, "-config", join(folder, "config.yml"));
    await interfaceExists(host, "nb0");
  }
  return routed(hosts, MTU);
}

/**
 * Programs that speak WireGuard and are configured by wg(8).
 *
 * @param command starts one in the foreground; the name of the interface follows
 */
export async function wireGuard(bed: Bed, command: readonly string[]): Promise<Ends> {
  const { hosts } = bed.lab;
  const secrets = await Promise.all(hosts.map(() => must("wg", "genkey")));
  const publics = await Promise.all(secrets.map(async (secret) => (await fed(secret, "wg", "pubkey")).trim()));
  // Its control socket is named after the interface, in a folder that all hosts share.
  const device = (i: number) => `wgb${process.pid % 100_000}h${i + 1}`;
  for (const [i, host] of hosts.entries()) {
    bed.leaves(`/var/run/wireguard/${device(i)}.sock`);
    bed.start(host, "env", "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1", ...command, device(i));
    await interfaceExists(host, device(i));
    const key = join(bed.folder(host), "key");
    writeFileSync(key, secrets[i], { mode: 0o600 });
    const endpoint = ["peer", publics[1 - i], "endpoint", `${hosts[1 - i].address}:51820`];
    const settings = ["listen-port", "51820", "private-key", key, ...endpoint, "allowed-ips", routedNetwork(2 - i)];
    await host.must("wg", "set", device(i), ...settings);
    await host.must("ip", "link", "set", device(i), "mtu", String(MTU), "up");
  }
  return routed(hosts, MTU, device);
}
