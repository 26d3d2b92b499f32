/**
 * Other overlays, set up between the two hosts of a lab as their manuals say, each on the same wire as ours. Those of layer
 * 2 carry what two containers send through bridges, as ours does; those of layer 3 are measured on their own interface,
 * which spares them the bridge and the container.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "#test/lab/host.js";
import type { Lab } from "#test/lab/lab.js";
import type { Namespace } from "#test/lab/namespace.js";
import { execute } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

export interface Overlay {
  readonly name: string;
  readonly encrypted: boolean;
  /** In user space, with a process of its own: what ours is compared with. */
  readonly userSpace: boolean;
  readonly from: Namespace;
  readonly to: Namespace;
  readonly address: string;
  /** Process of each host's router, where there is one. */
  readonly pids: readonly number[];
}

const found = (program: string) =>
  spawnSync("sh", ["-c", `command -v ${program}`], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  }).status === 0;

/** Two containers on bridges of their own, each with `port` of its host: what every overlay of layer 2 is given. */
async function bridged(
  hosts: readonly Host[],
  key: string,
  net: number,
  mtu: number,
  port: string,
): Promise<Namespace[]> {
  const containers: Namespace[] = [];
  for (const [i, host] of hosts.entries()) {
    const container = await host.container(key);
    await host.must("ip", "link", "add", `${key}br`, "type", "bridge");
    await host.must("ip", "link", "add", `${key}c`, "type", "veth", "peer", "name", "eth0", "netns", container.ns);
    for (const name of [port, `${key}c`]) await host.must("ip", "link", "set", name, "master", `${key}br`, "up");
    await host.must("ip", "link", "set", `${key}br`, "up");
    await container.must("ip", "link", "set", "eth0", "mtu", String(mtu), "up");
    await container.must("ip", "address", "add", `10.77.${net}.${i + 1}/24`, "dev", "eth0");
    containers.push(container);
  }
  return containers;
}

const interfaceExists = (host: Host, name: string) =>
  until(`${host.name} has ${name}`, async () => (await host.run("ip", "link", "show", name)).code === 0);

function folderOf(lab: Lab, key: string, host: Host): string {
  const folder = join(lab.folder, key, host.name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

async function must(file: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await execute(file, args);
  if (code !== 0) throw new Error(`${file} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

export async function vxlan({ hosts }: Lab): Promise<Overlay> {
  for (const [i, host] of hosts.entries()) {
    const ends = ["local", host.address, "remote", hosts[1 - i].address];
    await host.must("ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789", ...ends);
  }
  const [from, to] = await bridged(hosts, "vx", 0, 1_450, "vx0");
  return { name: "kernel VXLAN", encrypted: false, userSpace: false, from, to, address: "10.77.0.2", pids: [] };
}

async function fastd(lab: Lab): Promise<Overlay | undefined> {
  if (!found("fastd")) return undefined;
  const keys = await Promise.all(lab.hosts.map(() => must("fastd", "--generate-key", "--machine-readable")));
  const secrets = keys.map((text) => text.trim());
  const publics: string[] = [];
  for (const [i, host] of lab.hosts.entries()) {
    const file = join(folderOf(lab, "fastd", host), "secret.conf");
    writeFileSync(file, `secret "${secrets[i]}";\n`);
    publics.push((await must("fastd", "--config", file, "--show-key", "--machine-readable")).trim());
  }
  const pids: number[] = [];
  for (const [i, host] of lab.hosts.entries()) {
    const other = lab.hosts[1 - i];
    const file = join(folderOf(lab, "fastd", host), "fastd.conf");
    writeFileSync(
      file,
      `secret "${secrets[i]}";\nmode tap;\ninterface "fd0";\nmethod "aes128-gcm";\nmethod "salsa2012+umac";\nmtu 1434;\n` +
        `bind ${host.address}:10000;\nlog level error;\n` +
        `peer "other" { key "${publics[1 - i]}"; remote ${other.address}:10000; }\n`,
    );
    pids.push(host.spawn(["fastd", "--config", file]).pid!);
    await interfaceExists(host, "fd0");
  }
  const [from, to] = await bridged(lab.hosts, "fd", 1, 1_434, "fd0");
  return { name: "fastd (aes128-gcm)", encrypted: true, userSpace: true, from, to, address: "10.77.1.2", pids };
}

async function tinc(lab: Lab): Promise<Overlay | undefined> {
  if (!found("tincd")) return undefined;
  for (const [i, host] of lab.hosts.entries()) {
    const folder = folderOf(lab, "tinc", host);
    mkdirSync(join(folder, "hosts"), { recursive: true });
    const connect = i === 1 ? "ConnectTo = h1\n" : "";
    writeFileSync(
      join(folder, "tinc.conf"),
      `Name = ${host.name}\nMode = switch\nInterface = tc0\nAddressFamily = ipv4\n${connect}`,
    );
    writeFileSync(join(folder, "hosts", host.name), `Address = ${host.address}\n`);
    await must("sh", "-c", `tincd -c ${folder} -K2048 </dev/null`);
  }
  const [a, b] = lab.hosts.map((host) => join(folderOf(lab, "tinc", host), "hosts"));
  await must("cp", join(a, "h1"), b);
  await must("cp", join(b, "h2"), a);
  const pids: number[] = [];
  for (const host of lab.hosts) {
    const folder = folderOf(lab, "tinc", host);
    pids.push(host.spawn(["tincd", "-c", folder, "-D", `--pidfile=${folder}/pid`]).pid!);
    await interfaceExists(host, "tc0");
  }
  const [from, to] = await bridged(lab.hosts, "tc", 2, 1_430, "tc0");
  return { name: "tinc", encrypted: true, userSpace: true, from, to, address: "10.77.2.2", pids };
}

async function openvpn(lab: Lab): Promise<Overlay | undefined> {
  if (!found("openvpn") || !found("openssl")) return undefined;
  const prints: string[] = [];
  for (const host of lab.hosts) {
    const folder = folderOf(lab, "openvpn", host);
    const [key, cert] = [join(folder, "key"), join(folder, "cert")];
    const make = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    await must("openssl", "req", ...make, "-keyout", key, "-out", cert, "-subj", `/CN=${host.name}`);
    const print = await must("openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256");
    prints.push(print.trim().split("=")[1]);
  }
  const pids: number[] = [];
  for (const [i, host] of lab.hosts.entries()) {
    const folder = folderOf(lab, "openvpn", host);
    const role = i === 0 ? ["--tls-server", "--dh", "none"] : ["--tls-client"];
    const ends = ["--local", host.address, "--remote", lab.hosts[1 - i].address, "--proto", "udp", "--port", "1194"];
    const keys = ["--key", join(folder, "key"), "--cert", join(folder, "cert"), "--peer-fingerprint", prints[1 - i]];
    const link = ["--dev", "ov0", "--dev-type", "tap", "--tun-mtu", "1434", "--mssfix", "0", "--cipher", "AES-256-GCM"];
    pids.push(host.spawn(["openvpn", ...ends, ...role, ...keys, ...link, "--verb", "0"]).pid!);
    await interfaceExists(host, "ov0");
  }
  const [from, to] = await bridged(lab.hosts, "ov", 3, 1_434, "ov0");
  return { name: "openvpn (AES-256-GCM)", encrypted: true, userSpace: true, from, to, address: "10.77.3.2", pids };
}

async function nebula(lab: Lab): Promise<Overlay | undefined> {
  if (!found("nebula") || !found("nebula-cert")) return undefined;
  const top = folderOf(lab, "nebula", lab.hosts[0]);
  const [ca, caKey] = [join(top, "ca.crt"), join(top, "ca.key")];
  await must("nebula-cert", "ca", "-name", "lab", "-out-crt", ca, "-out-key", caKey);
  const pids: number[] = [];
  for (const [i, host] of lab.hosts.entries()) {
    const folder = folderOf(lab, "nebula", host);
    const [crt, key] = [join(folder, "host.crt"), join(folder, "host.key")];
    const from = ["-ca-crt", ca, "-ca-key", caKey, "-name", host.name, "-ip", `10.77.4.${i + 1}/24`];
    await must("nebula-cert", "sign", ...from, "-out-crt", crt, "-out-key", key);
    const hosts = lab.hosts.map(({ address }, n) => `  "10.77.4.${n + 1}": ["${address}:4242"]`).join("\n");
    writeFileSync(
      join(folder, "config.yml"),
      `pki: {ca: ${ca}, cert: ${crt}, key: ${key}}\nstatic_host_map:\n${hosts}\nlighthouse: {am_lighthouse: false, hosts: []}\n` +
        `listen: {host: ${host.address}, port: 4242}\ntun: {dev: nb0, mtu: 1440}\nlogging: {level: error, format: text}\n` +
        "firewall:\n  outbound: [{port: any, proto: any, host: any}]\n  inbound: [{port: any, proto: any, host: any}]\n",
    );
    pids.push(host.spawn(["nebula", "-config", join(folder, "config.yml")]).pid!);
    await interfaceExists(host, "nb0");
  }
  const [from, to] = lab.hosts;
  return { name: "nebula (layer 3)", encrypted: true, userSpace: true, from, to, address: "10.77.4.2", pids };
}

async function wireguardGo(lab: Lab): Promise<Overlay | undefined> {
  if (!found("wireguard-go") || !found("wg")) return undefined;
  const secrets = [await must("wg", "genkey"), await must("wg", "genkey")];
  const publics: string[] = [];
  for (const [i, host] of lab.hosts.entries()) {
    const file = join(folderOf(lab, "wg", host), "key");
    writeFileSync(file, secrets[i], { mode: 0o600 });
    publics.push((await must("sh", "-c", `wg pubkey <${file}`)).trim());
  }
  const pids: number[] = [];
  for (const [i, host] of lab.hosts.entries()) {
    // Its control socket is named after the interface, in a folder that all hosts share.
    const device = `wgo${process.pid % 10_000}h${i + 1}`;
    pids.push(host.spawn(["env", "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1", "wireguard-go", "-f", device]).pid!);
    await interfaceExists(host, device);
    const key = join(folderOf(lab, "wg", host), "key");
    const peer = [
      "peer",
      publics[1 - i],
      "endpoint",
      `${lab.hosts[1 - i].address}:51820`,
      "allowed-ips",
      "10.77.5.0/24",
    ];
    await host.must("wg", "set", device, "listen-port", "51820", "private-key", key, ...peer);
    await host.must("ip", "address", "add", `10.77.5.${i + 1}/24`, "dev", device);
    await host.must("ip", "link", "set", device, "mtu", "1440", "up");
  }
  const [from, to] = lab.hosts;
  return { name: "wireguard-go (layer 3)", encrypted: true, userSpace: true, from, to, address: "10.77.5.2", pids };
}

/** All that are installed and come up; the others with why not. */
export async function otherOverlays(lab: Lab): Promise<{ up: Overlay[]; missing: string[] }> {
  const up: Overlay[] = [];
  const missing: string[] = [];
  for (const start of [fastd, nebula, wireguardGo, tinc, openvpn]) {
    try {
      const overlay = await start(lab);
      if (overlay === undefined) missing.push(`${start.name}: not installed`);
      else {
        const { from, address } = overlay;
        await until(
          `${overlay.name} passes pings`,
          async () => (await from.ping(address, { count: 1, wait: 1 })) === 1,
        );
        up.push(overlay);
      }
    } catch (error) {
      missing.push(`${start.name}: ${String(error).slice(0, 200)}`);
    }
  }
  return { up, missing };
}
