import { Exposure, throwExposeError } from "#router/exposure/exposure.js";
import { NO_CONTENT, route } from "#router/route.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import { type Cidr, parseCidr } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { FirewallState } from "#src/linux/firewall/firewall.js";
import { hostFirewall } from "#src/linux/firewall/host-firewall.js";

export interface ExposureOptions {
  readonly bridge: string;
  /** Port of the mesh. */
  readonly port: number;
  /** The UDP port of VXLAN in clear, and the networks (CIDR notation) that may send to it; undefined: no limit. */
  readonly clearTunnel: FirewallState["clearTunnel"];
  /** TCP ports that only this host may reach, not its containers. */
  readonly hostPorts: readonly number[];
  /** Name of Docker's bridge; undefined without Docker. */
  readonly dockerBridge: string | undefined;
}

/** Creates the firewall rules, and restores the stored exposed addresses. @throws WEAVE_STORE */
export async function startExposure(
  options: ExposureOptions,
  { store, log, problems }: Pick<StartContext, "store" | "log" | "problems">,
): Promise<Exposure> {
  const { bridge, port: meshPort, clearTunnel, hostPorts, dockerBridge } = options;
  const exposure = new Exposure({
    store,
    rules: { bridge, hostPorts, meshPort, clearTunnel, dockerBridge },
    firewall: hostFirewall(dockerBridge !== undefined),
    log,
    problems,
  });
  await exposure.restore();
  return exposure;
}

export interface ExposureServiceDeps {
  readonly exposure: Exposure;
  /** Addresses of the hosts that this host is connected to. The routes to them must not change. */
  readonly connectedHosts: () => readonly string[];
}

/** The routes that expose and hide addresses of the host. */
export function exposureService({ exposure, connectedHosts }: ExposureServiceDeps): Service {
  return {
    name: "exposure",
    routes: () => [
      route("POST /expose/:ip/:prefix", async ({ params: { ip, prefix }, form }) => {
        const cidr = parseAddress(ip, prefix);
        await exposure.expose(cidr, form.get("skipNAT") !== "true", connectedHosts()).catch(throwExposeError);
        return NO_CONTENT;
      }),
      route("DELETE /expose/:ip/:prefix", async ({ params: { ip, prefix } }) => {
        await exposure.hide(parseAddress(ip, prefix));
        return NO_CONTENT;
      }),
    ],
  };
}

function parseAddress(ip: string, prefix: string): Cidr {
  try {
    return parseCidr(`${ip}/${prefix}`);
  } catch (cause) {
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `unable to parse ip addr: ${errorText(cause)}`, { cause });
  }
}
