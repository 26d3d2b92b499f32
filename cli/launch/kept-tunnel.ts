import type { LaunchOptions } from "#router/options.js";
import { errorText } from "#src/errors.js";
import { probeKernelFeatures } from "#src/linux/vxlan/features.js";
import { nameTunnelNamespace } from "#src/linux/wireguard/tunnel-namespace.js";
import { paths } from "#src/paths.js";

/** What the namespace of the tunnels depends on. */
export type TunnelLaunchOptions = Pick<LaunchOptions, "noFastdp" | "fastdpEncrypted" | "encryption">;

/**
 * Has the network namespace of WireGuard outlive the processes of a router, where what keeps the router running ends them all: systemd with
 * the unit, an engine with the container. Frames go on while the router is restarted or upgraded then.
 *
 * @param kind what keeps the router running
 * @param warn prints why it cannot be done: frames take sleeve for a while after such a restart
 */
export async function keepTunnel(kind: string, options: TunnelLaunchOptions, warn: (text: string) => void) {
  const { noFastdp, fastdpEncrypted, encryption } = options;
  if (kind === "process" || noFastdp || fastdpEncrypted === "off" || !encryption) return;
  const features = await probeKernelFeatures();
  if (!features.some(({ name, available }) => name === "wireguard" && available)) return;
  await nameTunnelNamespace(paths().run).catch((error) =>
    warn(`WARNING: the namespace of the kernel's path will not outlive the router: ${errorText(error)}`),
  );
}
