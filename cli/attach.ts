import { attach } from "#src/host/attach.js";
import { findNetns } from "#src/host/netns.js";
import { needAddresses, printAddresses, takeAddresses } from "./arguments.js";
import { usage } from "./exit.js";
import { launchedBridge } from "./launched.js";
import { needRoot } from "./root.js";

/** `weave attach [addr…] [--no-multicast-route] <netns>` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  const multicastRoute = !rest.includes("--no-multicast-route");
  const [target, ...more] = rest.filter((word) => word !== "--no-multicast-route");
  if (target === undefined || more.length > 0 || target.startsWith("-")) throw usage();
  needRoot();
  needAddresses(addresses, `weave attach 10.32.0.1/12 ${target}`);
  await attach(findNetns(target), { bridge: launchedBridge(), addresses, multicastRoute });
  printAddresses(addresses);
}
