import { type Container, wordsOf } from "#docker/engine/shapes.js";
import { bindTarget, waitFolderOf } from "#docker/wait/helper.js";

/** The fields of a container that show whether the proxy created it. */
export interface WaitConfig {
  readonly Config: Pick<Container["Config"], "Entrypoint" | "Cmd">;
  readonly HostConfig: Pick<Container["HostConfig"], "Binds">;
}

/** Whether the proxy created a container: its command begins with the waiting helper, and the helper is mounted. */
export function isWrapped({ Config, HostConfig }: WaitConfig): boolean {
  const folder = waitFolderOf(wordsOf(Config.Entrypoint));
  return folder !== undefined && HostConfig.Binds.some((bind) => bindTarget(bind) === folder);
}
