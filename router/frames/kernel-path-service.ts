import type { Mesh } from "#mesh/mesh.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import { CLEAR_DEVICE, ENCRYPTED_DEVICE } from "#router/carriers/fastdp/devices.js";
import type { HostSpeeds } from "#router/carriers/fastdp/host-speeds.js";
import type { KernelPath } from "#router/carriers/fastdp/kernel-path.js";
import type { KernelTunnel } from "#router/carriers/fastdp/kernel-tunnel.js";
import type { Macs } from "#router/macs/macs.js";
import { macLines } from "#router/macs/report.js";
import { type Metric, type Sample, type Service, samplesBy, statusLine } from "#router/service.js";
import { linkTraffic } from "#src/linux/links/link-traffic.js";

export interface KernelPathServiceDeps {
  readonly mesh: Pick<Mesh, "peer">;
  /** Undefined with `--no-fastdp`. */
  readonly kernelPath: KernelPath | undefined;
  readonly macs: Macs;
}

/** What the kernel's path is, why it is not used, and the MACs of all hosts. */
export function kernelPathService({ mesh, kernelPath, macs }: KernelPathServiceDeps): Service {
  const nameOf = (peer: PeerName) => {
    const record = mesh.peer(peer);
    return record === undefined ? peer : peerText(record);
  };
  return {
    name: "fastdp",
    metrics: () => metricsOf(kernelPath, macs),
    report: () => ({ Fastdp: kernelPathReport(kernelPath, macs) }),
    statusBlocks: () => [
      [
        statusLine("Service", "fastdp"),
        ...(kernelPath === undefined
          ? [statusLine("Kernel path", "off (--no-fastdp)")]
          : [
              statusLine("In clear", tunnelText(kernelPath.tunnels.clear)),
              statusLine("Encrypted", encryptedText(kernelPath)),
            ]),
        statusLine("MACs", macsText(macs)),
        ...macLines(macs.report, nameOf),
      ].join(""),
    ],
  };
}

const tunnelText = ({ problem, port, description }: KernelTunnel): string =>
  problem === undefined ? `${description}, UDP port ${port}` : `not by the kernel: ${problem}`;

/** With what `--fastdp-encrypted auto` has found. */
function encryptedText({ tunnels: { encrypted }, speeds }: KernelPath): string {
  const text = tunnelText(encrypted);
  return encrypted.problem !== undefined || speeds === undefined ? text : `${text}; ${speeds.text}`;
}

function macsText({ sizes: { own, known, carried } }: Macs): string {
  return `${own} on this host, ${known} on all hosts, ${carried} by the kernel`;
}

function kernelPathReport(kernelPath: KernelPath | undefined, macs: Macs) {
  const { own, known, carried, frozen, refused, unannounced, excess, failures } = macs.report;
  return {
    Clear: kernelPath && tunnelReport(kernelPath.tunnels.clear),
    Encrypted: kernelPath && tunnelReport(kernelPath.tunnels.encrypted),
    Speeds: kernelPath?.speeds && speedsReport(kernelPath.speeds),
    Features: (kernelPath?.features ?? []).map(({ name, available, reason }) => ({
      Name: name,
      Available: available,
      Reason: reason,
    })),
    MACs: {
      Own: own,
      Known: known,
      Carried: carried,
      Frozen: frozen.map(({ mac, at, others }) => ({ Mac: mac, At: at, ClaimedBy: others })),
      Refused: refused,
      Unannounced: unannounced,
      Excess: excess.map(({ peer, macs: count }) => ({ Name: peer, MACs: count })),
      KernelRefused: failures.count,
    },
  };
}

function tunnelReport({ problem, port, heartbeats }: KernelTunnel) {
  return {
    Problem: problem ?? "",
    Port: port,
    HeartbeatsRefused: { ...heartbeats.refused },
  };
}

/** The traffic of a tunnel's device: none where there is no device. */
function tunnelTraffic(tunnel: string, device: string): Sample[] {
  const traffic = linkTraffic(device);
  if (traffic === undefined) return [];
  return [
    { labels: { tunnel, direction: "sent" }, value: traffic.sentBytes },
    { labels: { tunnel, direction: "received" }, value: traffic.receivedBytes },
  ];
}

function speedsReport({ known, text }: HostSpeeds) {
  return { WireGuard: known?.wireguard ?? 0, Sleeve: known?.sleeve ?? 0, Result: text };
}

function metricsOf(kernelPath: KernelPath | undefined, macs: Macs): Metric[] {
  const tunnels = kernelPath === undefined ? [] : [kernelPath.tunnels.clear, kernelPath.tunnels.encrypted];
  return [
    {
      name: "weave_fastdp_macs",
      help: "MACs: on this host, on all hosts, and those whose frames take the kernel's path.",
      type: "gauge",
      labels: ["scope"],
      read: () => {
        const { own, known, carried } = macs.sizes;
        return samplesBy("scope", { own, known, carried });
      },
    },
    {
      name: "weave_fastdp_macs_frozen",
      help: "MACs that two hosts claim by turns.",
      type: "gauge",
      read: () => macs.sizes.frozen,
    },
    {
      name: "weave_fastdp_bytes_total",
      help: "Bytes of frames that the kernel has carried, by tunnel, headers of the tunnel excluded.",
      type: "counter",
      labels: ["tunnel", "direction"],
      read: () => [...tunnelTraffic("clear", CLEAR_DEVICE), ...tunnelTraffic("encrypted", ENCRYPTED_DEVICE)],
    },
    {
      name: "weave_fastdp_heartbeats_refused_total",
      help: "Heartbeats of the kernel's path that were refused, by reason.",
      type: "counter",
      labels: ["reason"],
      read: () => {
        const sums: Record<string, number> = { unknown: 0, malformed: 0, forged: 0, replayed: 0 };
        for (const { heartbeats } of new Set(tunnels))
          for (const [reason, count] of Object.entries(heartbeats.refused)) sums[reason] += count;
        return samplesBy("reason", sums);
      },
    },
  ];
}
