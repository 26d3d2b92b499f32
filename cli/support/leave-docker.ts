import { callJson } from "#cli/support/client.js";
import { launchOptions } from "#cli/support/launched.js";
import { proxyAddress } from "#cli/support/proxy-address.js";
import { errorText } from "#src/errors.js";
import { controlSocket, paths } from "#src/paths.js";

/**
 * Removes Docker's network while the router still answers: later Docker would wait long for the network's driver. Prints warnings about
 * containers on it, and about a shell whose Docker client uses the proxy.
 */
export async function leaveDocker(): Promise<void> {
  const { docker } = launchOptions();
  if (!docker?.api) return;
  const address = await proxyAddress(process.env).catch(() => undefined);
  if (address !== undefined && process.env.DOCKER_HOST === address) {
    process.stdout.write(
      'WARNING: It appears that your environment is configured to use the Weave Docker API proxy.\nDocker commands will fail while it is stopped. Restore it with: eval "$(weave env --restore)"\n',
    );
  }
  if (!docker.plugin) return;
  try {
    const call = { method: "DELETE", path: "/docker/network", address: controlSocket(paths().run) };
    const { network, attached } = await callJson<{ network: string; attached: string[] }>(call);
    if (attached.length > 0)
      process.stderr.write(
        `WARNING: the following containers are still attached to network "${network}":\n${attached.map((name) => `  ${name}\n`).join("")}Docker operations on those containers may pause or fail while weave is stopped.\n`,
      );
  } catch (error) {
    process.stderr.write(`WARNING: Docker's network "weave" was not removed: ${errorText(error)}\n`);
  }
}
