import { fqdnOf } from "#docker/containers/container-names.js";
import { EngineError } from "#docker/engine/engine.js";
import type { Container } from "#docker/engine/shapes.js";
import { WeaveError } from "#src/errors.js";
import { findNetns, isNetnsText, type Netns, netnsIdent } from "#src/linux/netns/netns.js";

/** A Docker container, or a network namespace without one. */
export interface AttachmentTarget {
  /** The holder of its addresses: the container that the namespace was made for, though {@link container} may be another one in it. */
  readonly ident: string;
  readonly netns: Netns;
  /** Undefined for a namespace, and for a container without a domain. */
  readonly fqdn: string | undefined;
  readonly container: Container | undefined;
}

/** Inspects a container by its name or id. @throws EngineError with status 404; WEAVE_DOCKER_UNAVAILABLE */
export type InspectContainer = (text: string) => Promise<Container>;

/** Maximum characters of a target: the kernel's limit for paths (PATH_MAX). */
const MAX_TEXT = 4_096;

/**
 * Finds a container by its name or id; or a namespace by `netns:NAME`, a path, or the id of a process, when no container has
 * that name.
 *
 * @param inspect undefined where the router runs without Docker
 * @throws WEAVE_NAMESPACE, WEAVE_DOCKER for a container that does not run, WEAVE_DOCKER_UNAVAILABLE
 */
export async function findAttachmentTarget(
  text: string,
  inspect: InspectContainer | undefined,
): Promise<AttachmentTarget> {
  if (text.length > MAX_TEXT) throw new WeaveError("WEAVE_NAMESPACE", `${text.slice(0, 64)}… is too long for a name`);
  const container = isNetnsText(text) || inspect === undefined ? undefined : await findContainer(text, inspect);
  if (container === undefined) {
    const netns = findNetns(text);
    return { ident: netnsIdent(netns), netns, fqdn: undefined, container };
  }
  if (!container.State.Running) throw new WeaveError("WEAVE_DOCKER", `container ${text} not running`);
  const netns = findNetns(String(container.State.Pid));
  return { ident: await holderOf(container, netns, inspect), netns, fqdn: fqdnOf(container), container };
}

/**
 * Finds the container that holds the addresses of a container's namespace. Containers share one by `--network container:ID` and in pods:
 * its addresses then belong to the first one, and stay while others come and go.
 */
async function holderOf(
  { Id, HostConfig }: Container,
  netns: Netns,
  inspect: InspectContainer | undefined,
): Promise<string> {
  const other = /^container:(.+)$/.exec(HostConfig.NetworkMode)?.[1];
  if (other === undefined || inspect === undefined) return Id;
  try {
    const owner = await inspect(other);
    if (owner.State.Running && findNetns(String(owner.State.Pid)).inode === netns.inode) return owner.Id;
  } catch {
    // It has ended, and may have been removed.
  }
  return Id;
}

/** Finds a container; undefined when the text is a process id and no container has this name. */
async function findContainer(text: string, inspect: InspectContainer): Promise<Container | undefined> {
  const isPid = /^\d+$/.test(text);
  try {
    return await inspect(text);
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) {
      if (isPid) return undefined;
      throw new WeaveError("WEAVE_NAMESPACE", `there is no container ${text}`, {
        next: "'docker ps' lists those that run. A namespace is netns:NAME, a path, or the id of a process.",
      });
    }
    // A process can be found without Docker.
    if (isPid && error instanceof WeaveError && error.code === "WEAVE_DOCKER_UNAVAILABLE") return undefined;
    throw error;
  }
}
