import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import type { HostFacts } from "#cli/doctor/host-facts.js";
import { kernelPorts, udpPorts } from "#cli/doctor/kernel-ports.js";
import { CLEAR_DEVICE, ENCRYPTED_DEVICE } from "#router/carriers/fastdp/devices.js";
import { ROUTER_FLAGS } from "#router/flags.js";
import { errorText, systemCode } from "#src/errors.js";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import { endpoint, udpType } from "#src/net/endpoint.js";
import { ANY_HOST } from "#src/net/family.js";
import { hostOf, portOf } from "#src/net/host-port.js";

/** Whether a router could listen at its ports: on a host where none runs. */
export const portsCheck: DoctorCheck = {
  name: "ports",
  async run(host) {
    const { report, launched, port } = host;
    if (report !== undefined) return [ok("in use by the router")];
    const statusAddr = launched.statusAddr ?? String(ROUTER_FLAGS.statusAddr.default);
    const { pageAddr = "" } = launched;
    const local = [
      ["--http-addr", launched.httpAddr ?? String(ROUTER_FLAGS.httpAddr.default)],
      ["--status-addr", statusAddr],
      ["--page-addr", pageAddr === statusAddr ? "" : pageAddr],
    ].filter(([, address]) => address !== "" && !address.startsWith("/"));
    const found = await Promise.all([
      taken("tcp", port, launched.host || undefined, "--port"),
      taken("udp", port, launched.host || undefined, "--port"),
      ...unusedKernelPorts(host).map((each) => kernelPortTaken(each)),
      ...local.map(([flag, address]) => taken("tcp", portOf(address), hostOf(address) || undefined, flag)),
    ]);
    const findings = found.filter((each) => each !== undefined);
    return findings.length > 0 ? findings : [ok(`TCP ${port} and UDP ${udpPorts(host)} are free`)];
  },
};

/** The kernel's ports, unless they are those of its devices: these stay when a router ends. */
function unusedKernelPorts(host: HostFacts): number[] {
  return [CLEAR_DEVICE, ENCRYPTED_DEVICE].some((name) => interfaceIndex(name) !== 0) ? [] : kernelPorts(host);
}

/** The kernel listens at all addresses. Without it frames pass all the same. */
async function kernelPortTaken(port: number): Promise<Finding | undefined> {
  const finding = await taken("udp", port, undefined, "--port");
  return finding && { ...finding, level: "warn", cause: "frames pass by the router, not by the kernel (fastdp)" };
}

/** Listens for a moment. @returns the finding of a port that cannot be used */
async function taken(
  kind: "tcp" | "udp",
  port: number,
  host: string | undefined,
  flag: string,
): Promise<Finding | undefined> {
  try {
    await (kind === "tcp" ? listenTcp(port, host) : listenUdp(port, host));
    return undefined;
  } catch (error) {
    const what = `cannot listen on ${kind.toUpperCase()} ${port}: ${errorText(error)}`;
    if (systemCode(error) !== "EADDRINUSE") return { level: "fail", what };
    const ss = `'ss -${kind === "tcp" ? "lntp" : "lnup"} sport = :${port}' shows which`;
    return { level: "fail", what, cause: "another process uses the port", remedy: `${ss}: stop it, or use ${flag}` };
  }
}

function listenTcp(port: number, host: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port, host: host ?? ANY_HOST }, () => server.close(() => resolve()));
  });
}

function listenUdp(port: number, address: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(udpType(endpoint(address ?? ANY_HOST, port)));
    socket.once("error", reject);
    socket.bind({ port, address, exclusive: true }, () => socket.close(() => resolve()));
  });
}
