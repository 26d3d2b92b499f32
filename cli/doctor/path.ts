import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import { connection } from "#cli/json/status-documents.js";

/** The figures of one path of the kernel in the report's `OverlayDiagnostics`. */
interface KernelFigures {
  readonly Name: string;
  readonly NickName: string;
  readonly Tunnel: string;
  readonly HeartbeatBytes: number;
}

/** The same of one path of datagrams of the router. */
interface PathFigures {
  readonly Name: string;
  readonly NickName: string;
  readonly State: string;
  readonly DatagramBytes: number;
  readonly DatagramReason: string;
  readonly Batches: string;
  readonly LossPercent: number;
}

/** Payload of a datagram over IPv4: the packet is 28 bytes larger (IP and UDP headers). */
const HEADERS = 28;
/** Smallest packet that every path of the internet passes whole (RFC 8200, 5): less is a tunnel in a tunnel. */
const USUAL_BYTES = 1_280;
/** Loss from which TCP through the overlay is slow, in percent. */
const LOSS_PERCENT = 1;

/** Size and loss of each path, as the router has probed it. The path of datagrams does not count where the kernel carries the frames. */
export const pathCheck: DoctorCheck = {
  name: "paths",
  run({ report }) {
    const router = report?.Router;
    if (router === undefined) return [ok("none to measure")];
    const { sleeve, fastdp } = router.OverlayDiagnostics;
    const byKernel = new Set(
      router.Connections.map((each) => connection(each, router)).flatMap(({ State, Carrier, Peer }) =>
        State === "established" && Carrier === "fastdp" ? [Peer] : [],
      ),
    );
    const findings = [
      ...((fastdp ?? []) as readonly KernelFigures[])
        .filter(({ Name }) => byKernel.has(Name))
        .map(({ NickName, Tunnel, HeartbeatBytes }) =>
          ok(`${NickName}: heartbeats of ${HeartbeatBytes} bytes pass by the kernel (${Tunnel})`),
        ),
      ...((sleeve ?? []) as readonly PathFigures[])
        .filter(({ Name, State }) => State === "established" && !byKernel.has(Name))
        .flatMap(findingsOf),
    ];
    return findings.length > 0 ? findings : [ok("none to measure")];
  },
};

function findingsOf({ NickName, DatagramBytes, DatagramReason, Batches, LossPercent }: PathFigures): Finding[] {
  const size = DatagramBytes + HEADERS;
  const findings: Finding[] = [];
  if (size < USUAL_BYTES)
    findings.push({
      level: "warn",
      what: `${NickName}: packets of ${size} bytes pass, no larger ones: ${DatagramReason}`,
      cause: "a tunnel or a small MTU between the hosts; each frame travels in several datagrams",
      remedy: "raise the MTU of the links between the hosts; nothing is lost meanwhile",
    });
  if (Batches === "no")
    findings.push({
      level: "warn",
      what: `${NickName}: the path loses batches of datagrams`,
      cause: "a firewall or network card that drops packets by length",
      remedy: "'ethtool -K DEVICE gro on' on the hosts between; harmless but slower",
    });
  if (LossPercent >= LOSS_PERCENT)
    findings.push({
      level: "warn",
      what: `${NickName}: ${LossPercent} % of the datagrams are lost`,
      cause: "a full or bad line between the hosts",
      remedy: "'ping -f' between the hosts shows whether the underlay loses packets as well",
    });
  return findings.length > 0 ? findings : [ok(`${NickName}: packets of ${size} bytes (${DatagramReason})`)];
}
