import { saveLastLaunch, writeLaunchFile } from "#cli/supervision/launch-files.js";
import type { LaunchOptions } from "#router/options.js";
import { installedFile } from "#src/installation.js";
import { replaceProcess } from "#src/linux/native/process.js";

/** Replaces this process by a router in the foreground: what started this process keeps it running, or does not. */
export function becomeRouter(options: LaunchOptions): never {
  writeLaunchFile(options);
  saveLastLaunch(options);
  const { WEAVE_PASSWORD: _, ...env } = process.env;
  replaceProcess(process.execPath, [installedFile("#router/main.js"), "--foreground"], env);
}
