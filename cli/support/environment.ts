import { isAbsolute } from "node:path";
import { invalidValue } from "#src/errors.js";

/** Variables whose values are folders. */
const FOLDERS = ["WEAVE_RUN_DIR", "WEAVE_STATE_DIR", "WEAVE_LOG_DIR"];

/** Name of the container in which the router runs. {@link checkEnvironment} has checked the text. */
export const containerName = (): string => process.env.WEAVE_CONTAINER_NAME || "weave";

/** Name of the data container, whose volume has the router's state. */
export const dataContainerName = (): string => `${containerName()}db`;

/** Checks the variables that all commands use. The variables of `launch` are checked with its flags. @throws WEAVE_FLAG_INVALID */
export function checkEnvironment(env: NodeJS.ProcessEnv): void {
  const address = env.WEAVE_HTTP_ADDR;
  if (address && !isApiAddress(address))
    throw invalidValue("WEAVE_HTTP_ADDR", address, "[host]:port with a port from 1 to 65535, or an absolute path");
  const container = env.WEAVE_CONTAINER_NAME;
  // The names of Docker, and as much shorter as the names made from it are longer.
  if (container && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,250}$/.test(container))
    throw invalidValue("WEAVE_CONTAINER_NAME", container, "the name of a container, such as weave");
  for (const name of FOLDERS) {
    const folder = env[name];
    if (folder && !isAbsolute(folder)) throw invalidValue(name, folder, "an absolute path");
  }
}

function isApiAddress(address: string): boolean {
  if (isAbsolute(address)) return true;
  const port = Number(/^[\w.-]*:(\d{1,5})$/.exec(address)?.[1]);
  return port >= 1 && port <= 65_535;
}
