import { installedFile } from "#src/installation.js";
import { restrictBeforeExec } from "#src/linux/native/confinement.js";
import { replaceProcess } from "#src/linux/native/process.js";
import { ROUTER_NODE_FLAGS } from "#src/node-flags.js";

/** Replaces this process by a router in the foreground: what started this process keeps it running, or does not. */
export function becomeRouter(args: readonly string[], given: NodeJS.ProcessEnv = process.env): never {
  const { WEAVE_PASSWORD: _, ...env } = given;
  restrictBeforeExec();
  replaceProcess(
    process.execPath,
    [...ROUTER_NODE_FLAGS, installedFile("#router/main.js"), "--foreground", ...args],
    env,
  );
}
