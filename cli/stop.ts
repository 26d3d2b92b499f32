import { DEFAULT_NETWORK } from "#docker/plugin/network-sync.js";
import { driverNames } from "#docker/plugin/plugin.js";
import { errorText } from "#src/errors.js";
import { controlSocket, paths } from "#src/paths.js";
import { call } from "./client.js";
import { noMore } from "./exit.js";
import { launched } from "./launched.js";
import { running, stopRouter } from "./processes.js";
import { proxyAddress } from "./proxy-address.js";
import { readFlags } from "./read-flags.js";
import { needRoot } from "./root.js";
import { engine } from "./target.js";

/** A router that needs longer to answer hangs. */
const ANSWER_MS = 2_000;

/** `weave stop`: the bridge, what is attached to it, and the database stay. */
export async function run(args: readonly string[]): Promise<void> {
  noMore(readFlags("stop", args).words);
  needRoot();
  if (running().router !== undefined && (await answers())) await leaveDocker();
  if (!(await stopRouter())) process.stderr.write("Weave is not running.\n");
}

/** A router that hangs would keep Docker waiting, and Docker us. */
async function answers(): Promise<boolean> {
  const { status } = await call({ path: "/status", address: controlSocket(paths().run), answerMs: ANSWER_MS }).catch(
    () => ({ status: 0 }),
  );
  return status !== 0;
}

/** Docker waits long for the driver of a network that has none any more: the network goes while we still answer. */
export async function leaveDocker(): Promise<void> {
  const { docker } = launched();
  if (!docker?.api) return;
  const address = await proxyAddress(process.env).catch(() => undefined);
  if (address !== undefined && process.env.DOCKER_HOST === address) {
    process.stdout.write(
      'WARNING: It appears that your environment is configured to use the Weave Docker API proxy.\nDocker commands will fail while it is stopped. Restore it with: eval "$(weave env --restore)"\n',
    );
  }
  if (!docker.plugin) return;
  try {
    const client = engine();
    if (client === undefined) return;
    const { mesh } = driverNames(docker);
    const network = (await client.networks()).find(({ Name, Driver }) => Name === DEFAULT_NETWORK && Driver === mesh);
    if (network === undefined) return;
    const attached = Object.values((await client.network(network.Id)).Containers).map(({ Name }) => Name);
    if (attached.length > 0) {
      process.stderr.write(
        `WARNING: the following containers are still attached to network "${DEFAULT_NETWORK}":\n${attached.map((name) => `  ${name}\n`).join("")}Docker operations on those containers may pause or fail while weave is stopped.\n`,
      );
    } else {
      // The router would make it again.
      await call({ method: "POST", path: "/docker/leave", address: controlSocket(paths().run) }).catch(() => {});
      await client.removeNetwork(network.Id);
    }
  } catch (error) {
    process.stderr.write(`WARNING: Docker's network "${DEFAULT_NETWORK}" was not removed: ${errorText(error)}\n`);
  }
}
