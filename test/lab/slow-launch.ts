import type { Host } from "#test/lab/host.js";
import { until } from "#test/lab/wait.js";

/** Whether the router of a host answers. */
const answers = async (host: Host): Promise<boolean> =>
  (await host.api("GET", "/status").catch(() => undefined))?.status === 200;

/** Launches where the router takes longer to start than `weave launch` waits. Without a password: scrypt alone takes long. */
export async function slowLaunch(host: Host, ...args: string[]): Promise<void> {
  const { stderr } = await host.weave("launch", "--name", host.peerName, "--nickname", host.name, "--no-dns", ...args);
  await until(`${host.name} runs`, () => answers(host), 400_000).catch((error: Error) => {
    throw new Error(`${error.message}\n${stderr}\n${host.log().slice(-3_000)}`);
  });
}
