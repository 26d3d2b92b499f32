import { CommandError, run } from "#src/linux/exec.js";

/** Marks addresses of the loopback interface as weave's (ip-address(8)). */
const LABEL = "lo:weave";

/**
 * Gives the host an address that is there whatever interfaces come and go: containers reach it by any route that leads to the host. Another
 * interface may have the same address. Idempotent.
 *
 * @throws WEAVE_COMMAND_FAILED
 */
export async function addLoopbackAddress(address: string): Promise<void> {
  await run("ip", ["address", "replace", `${address}/32`, "dev", "lo", "label", LABEL]);
}

/** Removes all addresses of {@link addLoopbackAddress}. */
export async function removeLoopbackAddresses(): Promise<void> {
  try {
    await run("ip", ["address", "flush", "dev", "lo", "label", LABEL]);
  } catch (error) {
    // There was none, or they were removed meanwhile.
    if (!(error instanceof CommandError)) throw error;
  }
}
