import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inNamespace } from "#src/linux/native/namespace-entry.js";
import { findKernelLink } from "#src/linux/netlink/link-requests.js";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { type ForwardingEntry, ForwardingTable } from "#src/linux/vxlan/forwarding-table.js";
import type { VxlanOptions } from "#src/linux/vxlan/vxlan-port.js";
import { removeTunnelNamespace, TunnelNamespace } from "#src/linux/wireguard/tunnel-namespace.js";
import { must, Namespace } from "#test/lab/namespace.js";

const WIRE_MTU = 1_500;
/** MTU of the bridges: what WireGuard and VXLAN leave of the wire's. */
export const PATH_MTU = 1_390;

/** The VXLAN device of all path hosts. */
export const VX = "weave-vx";
export const VNI = 6_784;
export const PORT = 6_784;

/** One of many MACs. */
export const macOf = (number: number): string =>
  `02:aa:00:00:${(number >> 8).toString(16).padStart(2, "0")}:${(number & 255).toString(16).padStart(2, "0")}`;

/** Sends five VXLAN datagrams, each with a frame for one MAC. */
const FORGE = `
const [host, port, vni, to] = process.argv.slice(1);
const frame = Buffer.alloc(60);
Buffer.from(to.replaceAll(":", ""), "hex").copy(frame);
frame[6] = 2;
frame[12] = 8;
const header = Buffer.from([8, 0, 0, 0, vni >> 16, (vni >> 8) & 255, vni & 255, 0]);
const socket = require("node:dgram").createSocket("udp4");
let left = 5;
for (let i = left; i > 0; i--)
  socket.send(Buffer.concat([header, frame]), Number(port), host, () => --left || socket.close());
`;

/** Sends VXLAN datagrams with frames for a container to an address, from a namespace. */
export function forge(from: string | number, host: string, to: string): void {
  const args = ["-e", FORGE, host, String(PORT), String(VNI), to];
  const { status, stderr } = inNamespace(from, () => spawnSync(process.execPath, args, { encoding: "utf8" }));
  if (status !== 0) throw new Error(stderr);
}

/** A host with a bridge, a container on it, and an interface in place of the router's TAP. */
export class PathHost extends Namespace {
  readonly container: Namespace;
  readonly address: string;
  readonly mac: string;
  readonly containerMac: string;
  readonly containerAddress: string;
  readonly netlink: Netlink;
  readonly runFolder = mkdtempSync(join(tmpdir(), "weave-path-"));
  #tunnel: TunnelNamespace | undefined;
  #isDisposed = false;

  readonly mtu: number;

  constructor(name: string, number: number, mtu: number) {
    super(name);
    this.mtu = mtu;
    this.container = new Namespace(`${name}c`);
    this.address = `192.168.9.${number}`;
    this.mac = `02:00:00:00:00:0${number}`;
    this.containerMac = `02:cc:00:00:00:0${number}`;
    this.containerAddress = `10.32.0.${number}`;
    this.netlink = Netlink.open("route", this.path);
  }

  get path(): string {
    return `/run/netns/${this.ns}`;
  }

  async index(name: string): Promise<number> {
    return (await findKernelLink(this.netlink, name))?.ifindex ?? 0;
  }

  /** The indexes of bridge, VXLAN device and TAP. */
  async ports(): Promise<{ bridge: number; vxlan: number; tap: number }> {
    return { bridge: await this.index("weave"), vxlan: await this.index(VX), tap: await this.index("tap") };
  }

  /** What its VXLAN device must be. */
  vxlan(): VxlanOptions {
    return { name: VX, bridge: "weave", mtu: this.mtu, vni: VNI, port: PORT, local: this.address };
  }

  async table(): Promise<ForwardingTable> {
    const ports = await this.ports();
    return new ForwardingTable(this.netlink, () => ports);
  }

  /** The entries that another host needs for this one. */
  entries(host = this.address): ForwardingEntry[] {
    return [this.mac, this.containerMac].map((mac) => ({ mac, via: "vxlan", host }));
  }

  /** Frames that the VXLAN device has received. */
  async received(): Promise<number> {
    const [link] = JSON.parse(await this.must("ip", "-json", "-statistics", "link", "show", "dev", VX));
    return link.stats64.rx.packets;
  }

  /** The namespace of the tunnels, which is made by the first call. */
  tunnel(): TunnelNamespace {
    this.#tunnel ??= TunnelNamespace.ensure(this.runFolder);
    return this.#tunnel;
  }

  /** The process that holds the namespace of the tunnels. */
  holder(): string {
    this.tunnel();
    return /^(\d+) /.exec(readFileSync(join(this.runFolder, "tunnel-holder"), "utf8"))?.[1] ?? "";
  }

  /** Runs `ip` in the namespace of the tunnels. */
  inside(...args: string[]): string {
    const { status, stdout, stderr } = inNamespace(this.tunnel().fd, () => spawnSync("ip", args, { encoding: "utf8" }));
    if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.netlink.close();
    this.#tunnel?.close();
    await removeTunnelNamespace(this.runFolder);
    rmSync(this.runFolder, { recursive: true });
    for (const { ns } of [this.container, this]) await must("ip", "netns", "delete", ns).catch(() => {});
  }
}

/** Two hosts on a wire, each with a bridge and a container, without routers. */
export async function makePathHosts(mtu: number): Promise<[PathHost, PathHost]> {
  const names = ["a", "b"].map((letter) => `path${process.pid}${letter}`);
  for (const name of names) for (const ns of [name, `${name}c`]) await must("ip", "netns", "add", ns);
  const wire = names.map((name) => ["name", "eth0", "mtu", String(WIRE_MTU), "netns", name]);
  await must("ip", "link", "add", ...wire[0], "type", "veth", "peer", ...wire[1]);
  const [a, b] = names.map((name, index) => new PathHost(name, index + 1, mtu));
  for (const host of [a, b]) {
    const other = host === a ? b : a;
    const { container } = host;
    const commands = [
      `address add ${host.address}/24 dev eth0`,
      "link set dev eth0 up",
      "link set dev lo up",
      "link add name weave type bridge mcast_snooping 0",
      `link set dev weave address ${host.mac} mtu ${mtu}`,
      "link set dev weave up",
      // Stands for the router's TAP: one without a router has no carrier, and its port no entries.
      "link add name tap master weave up type veth peer name router",
      "link set dev router up",
      `link add name port mtu ${mtu} master weave up type veth peer name eth0 mtu ${mtu} address ${host.containerMac} netns ${container.ns}`,
    ];
    for (const command of commands) await must("ip", "-n", host.ns, ...command.split(" "));
    for (const command of [
      "link set dev eth0 up",
      `address add ${host.containerAddress}/24 dev eth0`,
      // Broadcast is the router's work.
      `neighbour add ${other.containerAddress} lladdr ${other.containerMac} dev eth0`,
    ])
      await must("ip", "-n", container.ns, ...command.split(" "));
  }
  return [a, b];
}
