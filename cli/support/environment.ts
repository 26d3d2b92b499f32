import { isAbsolute } from "node:path";
import { invalidValue } from "#src/errors.js";

const FOLDERS = ["WEAVE_RUN_DIR", "WEAVE_STATE_DIR", "WEAVE_LOG_DIR"];

/** Checks the variables that all commands use; those of `launch` alone are in its rows. @throws WEAVE_FLAG_INVALID */
export function checkEnvironment(env: NodeJS.ProcessEnv): void {
  const address = env.WEAVE_HTTP_ADDR;
  if (address && !isReachable(address))
    throw invalidValue("WEAVE_HTTP_ADDR", address, "[host]:port with a port from 1 to 65535, or an absolute path");
  for (const name of FOLDERS) {
    const folder = env[name];
    if (folder && !isAbsolute(folder)) throw invalidValue(name, folder, "an absolute path");
  }
}

function isReachable(address: string): boolean {
  if (isAbsolute(address)) return true;
  const port = Number(/^[\w.-]*:(\d{1,5})$/.exec(address)?.[1]);
  return port >= 1 && port <= 65_535;
}
