import type { Host } from "#test/lab/host.js";
import type { Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

/** Carriers of a host's connections, by the nickname of the peer; none while its router does not answer. */
export async function carriersOf(host: Host): Promise<Record<string, string>> {
  const { body } = await host.api("GET", "/status/connections").catch(() => ({ body: "" }));
  const found: Record<string, string> = {};
  for (const [, carrier, peer] of body.matchAll(/ established (?:un)?encrypted +(\w+) +[0-9a-f:]+\((\w+)\)/g))
    found[peer] = carrier;
  return found;
}

/** Gives a container a MAC, and has it send. */
export async function takeMac(container: Namespace, mac: string, other: string): Promise<void> {
  await container.must("ip", "link", "set", "dev", "ethwe", "address", mac);
  await container.run("ping", "-c", "1", "-W", "1", other);
}

/** The address that a host's tunnel sends frames for a MAC to. */
export async function tunnelOf(host: Host, mac: string): Promise<string | undefined> {
  const { stdout } = await host.run("bridge", "fdb", "show", "dev", "weave-vx");
  return new RegExp(`^${mac} dst (\\S+) `, "m").exec(stdout)?.[1];
}

/** Waits until each host has these carriers to the others, by nickname. */
export async function carriersAre(
  wanted: readonly (readonly [host: Host, carriers: Readonly<Record<string, string>>])[],
  timeoutMs = 25_000,
): Promise<void> {
  let last = "";
  for (const [host, carriers] of wanted)
    await until(
      `${host.name} has the carriers ${JSON.stringify(carriers)}`,
      async () => {
        const now = await carriersOf(host);
        last = JSON.stringify(now);
        return Object.entries(carriers).every(
          ([peer, carrier]) => now[peer] === (carrier === "none" ? undefined : carrier),
        );
      },
      timeoutMs,
    ).catch(async (error: Error) => {
      const connections = await host.api("GET", "/status/connections").catch(() => ({ body: "no answer" }));
      const fastdp = await host.report("{{json .Fastdp}}").catch(() => "no report");
      throw new Error(`${error.message}; it has ${last}\n${connections.body}\n${fastdp}\n${host.log().slice(-2_000)}`);
    });
}

/** How two hosts are joined: the best carrier that passes between them. */
export type Joint = "fastdp" | "sleeve" | "stream" | "none";

const BLOCKED: Readonly<Record<Joint, readonly string[]>> = {
  fastdp: [],
  sleeve: ["udp dport 6784 drop"],
  stream: ["udp dport { 6783, 6784 } drop"],
  none: ["udp dport { 6783, 6784 } drop", "tcp dport 6783 drop", "tcp sport 6783 drop"],
};

/** Drops at a host what would pass by better carriers than those given, from each other host; replaces what was set before. */
export async function join(host: Host, joints: readonly (readonly [other: Host, joint: Joint])[]): Promise<void> {
  const rules = joints.flatMap(([other, joint]) =>
    BLOCKED[joint].map((rule) => `add rule inet joints input ip saddr ${other.address} ${rule}`),
  );
  const script = [
    "add table inet joints",
    "delete table inet joints",
    "add table inet joints",
    "add chain inet joints input { type filter hook input priority -300; }",
    ...rules,
  ];
  await host.must("nft", script.join("; "));
}

/** The part of the report about the kernel's path. */
export async function fastdpReport(host: Host) {
  return JSON.parse(await host.report("{{json .Fastdp}}")) as {
    Clear: { Problem: string; HeartbeatsRefused: Record<string, number> };
    MACs: { Own: number; Known: number; Carried: number; Frozen: { Mac: string; At: string; ClaimedBy: string[] }[] };
  };
}

/** Packets that the VXLAN device of a host has sent and received. */
export async function tunnelPackets(host: Host, device = "weave-vx"): Promise<{ sent: number; received: number }> {
  const [link] = JSON.parse(await host.must("ip", "-json", "-s", "link", "show", "dev", device)) as {
    stats64: { tx: { packets: number }; rx: { packets: number } };
  }[];
  return { sent: link.stats64.tx.packets, received: link.stats64.rx.packets };
}
