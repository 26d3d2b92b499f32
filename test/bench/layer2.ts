/**
 * Overlays of layer 2, set up between the two hosts of a lab as their manuals say. Their MTU is the largest whose packets fit a wire
 * of 1500 bytes.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bed, bridged, type Ends, interfaceExists } from "#test/bench/bed.js";
import { carriersAre } from "#test/lab/fastdp.js";
import type { Lab } from "#test/lab/lab.js";
import { must } from "#test/lab/namespace.js";

/** The kernel's own, without encryption. */
export async function vxlan({ hosts }: Pick<Lab, "hosts">): Promise<Ends> {
  for (const [i, host] of hosts.entries()) {
    const ends = ["local", host.address, "remote", hosts[1 - i].address];
    await host.must("ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789", ...ends);
  }
  return bridged(hosts, 1_450, "vx0");
}

/** @param program path of `weave`: the checkout's, the bundle's, or that of another build */
export async function weave(bed: Bed, program: string): Promise<Ends> {
  const { hosts } = bed.lab;
  const [h1, h2] = hosts;
  for (const host of hosts) host.weaveCommand = [program];
  await Promise.all(hosts.map((host) => host.launch("--mtu", "1394")));
  const [from, to] = [await h1.attach("b", "10.32.0.1/12"), await h2.attach("b", "10.32.0.2/12")];
  await h2.ok("connect", h1.address);
  return { from, to, address: "10.32.0.2" };
}

/** The same without encryption: the kernels forward the frames. @param program as of {@link weave} */
export async function fastdp(bed: Bed, program: string): Promise<Ends> {
  const { hosts } = bed.lab;
  const [h1, h2] = hosts;
  for (const host of hosts) host.weaveCommand = [program];
  await Promise.all(hosts.map((host) => host.launch("--encryption", "off", "--mtu", "1450")));
  const [from, to] = [await h1.attach("b", "10.32.0.1/12"), await h2.attach("b", "10.32.0.2/12")];
  await h2.ok("connect", h1.address);
  await carriersAre([
    [h1, { h2: "fastdp" }],
    [h2, { h1: "fastdp" }],
  ]);
  return { from, to, address: "10.32.0.2" };
}

export async function fastd(bed: Bed): Promise<Ends> {
  const { hosts } = bed.lab;
  const keys = await Promise.all(hosts.map(() => must("fastd", "--generate-key", "--machine-readable")));
  const secrets = keys.map((text) => text.trim());
  const publics: string[] = [];
  for (const [i, host] of hosts.entries()) {
    const file = join(bed.folder(host), "secret.conf");
    writeFileSync(file, `secret "${secrets[i]}";\n`, { mode: 0o600 });
    publics.push((await must("fastd", "--config", file, "--show-key", "--machine-readable")).trim());
  }
  for (const [i, host] of hosts.entries()) {
    const other = hosts[1 - i];
    const file = join(bed.folder(host), "fastd.conf");
    writeFileSync(
      file,
      `secret "${secrets[i]}";\nmode tap;\ninterface "fd0";\nmethod "aes128-gcm";\nmethod "salsa2012+umac";\nmtu 1434;\n` +
        `bind ${host.address}:10000;\nlog level error;\n` +
        `peer "other" { key "${publics[1 - i]}"; remote ${other.address}:10000; }\n`,
      { mode: 0o600 },
    );
    bed.start(host, "fastd", "--config", file);
    await interfaceExists(host, "fd0");
  }
  return bridged(hosts, 1_434, "fd0");
}

export async function tinc(bed: Bed): Promise<Ends> {
  const { hosts } = bed.lab;
  for (const [i, host] of hosts.entries()) {
    const folder = bed.folder(host);
    mkdirSync(join(folder, "hosts"));
    const connect = i === 1 ? "ConnectTo = h1\n" : "";
    writeFileSync(
      join(folder, "tinc.conf"),
      `Name = ${host.name}\nMode = switch\nInterface = tc0\nAddressFamily = ipv4\n${connect}`,
    );
    writeFileSync(join(folder, "hosts", host.name), `Address = ${host.address}\n`);
    await must("sh", "-c", `tincd -c ${folder} -K2048 </dev/null`);
  }
  const [a, b] = hosts.map((host) => join(bed.folder(host), "hosts"));
  await must("cp", join(a, "h1"), b);
  await must("cp", join(b, "h2"), a);
  for (const host of hosts) {
    const folder = bed.folder(host);
    bed.start(host, "tincd", "-c", folder, "-D", `--pidfile=${folder}/pid`);
    await interfaceExists(host, "tc0");
  }
  return bridged(hosts, 1_430, "tc0");
}

export async function openvpn(bed: Bed): Promise<Ends> {
  const { hosts } = bed.lab;
  const prints: string[] = [];
  for (const host of hosts) {
    const [key, cert] = [join(bed.folder(host), "key"), join(bed.folder(host), "cert")];
    const make = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    await must("openssl", "req", ...make, "-keyout", key, "-out", cert, "-subj", `/CN=${host.name}`);
    const print = await must("openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256");
    prints.push(print.trim().split("=")[1]);
  }
  for (const [i, host] of hosts.entries()) {
    const folder = bed.folder(host);
    const role = i === 0 ? ["--tls-server", "--dh", "none"] : ["--tls-client"];
    const ends = ["--local", host.address, "--remote", hosts[1 - i].address, "--proto", "udp", "--port", "1194"];
    const keys = ["--key", join(folder, "key"), "--cert", join(folder, "cert"), "--peer-fingerprint", prints[1 - i]];
    const link = ["--dev", "ov0", "--dev-type", "tap", "--tun-mtu", "1434", "--mssfix", "0", "--cipher", "AES-256-GCM"];
    bed.start(host, "openvpn", ...ends, ...role, ...keys, ...link, "--verb", "0");
    await interfaceExists(host, "ov0");
  }
  return bridged(hosts, 1_434, "ov0");
}

export async function vpncloud(bed: Bed, program: string): Promise<Ends> {
  const { hosts } = bed.lab;
  for (const [i, host] of hosts.entries()) {
    // It looks for its own address by a route to the Internet, and ends when there is none.
    await host.must("ip", "route", "add", "default", "via", hosts[1 - i].address);
    const link = ["--type", "tap", "--device", "vc0", "--mode", "switch", "--no-port-forwarding"];
    const ends = ["--listen", `${host.address}:3210`, "--peer", `${hosts[1 - i].address}:3210`];
    bed.start(host, program, ...link, ...ends, "--password", "bench", "--algorithm", "AES128");
    await interfaceExists(host, "vc0");
  }
  return bridged(hosts, 1_430, "vc0");
}
