import * as z from "zod/mini";
import { type Engine, EngineError, imagePath } from "#docker/engine/engine.js";

/**
 * Containers that weave itself creates: the one in which the router runs, and the data container with its state. Calls of Docker's
 * API that containers of users never get.
 */

/** Label of these containers; its value is their role. */
export const ROLE_LABEL = "works.weave.role";
/** Label of images that have a router; its value is their version. */
export const VERSION_LABEL = "works.weave.version";

/** Limit for calls that create, start or remove a container: an engine may be busy with an image or with many containers. */
const SLOW_MS = 60_000;
/** Seconds between the request to stop and SIGKILL, as in `docker stop`. */
export const STOP_S = 10;

const labels = z.record(z.string(), z.string());
const ownShape = z.object({
  Id: z.string(),
  /** Id of the image. */
  Image: z.string(),
  State: z.object({
    Status: z.string(),
    Running: z.boolean(),
    Restarting: z.boolean(),
    Paused: z.boolean(),
  }),
  Config: z.object({
    Image: z.string(),
    Cmd: z.nullish(z.array(z.string())),
    Env: z.nullish(z.array(z.string())),
    Labels: z.nullish(labels),
  }),
  HostConfig: z.record(z.string(), z.unknown()),
  Mounts: z.array(z.object({ Source: z.nullish(z.string()), Destination: z.string() })),
});

/** A container, as far as its creator needs to know it. */
export type OwnContainer = z.infer<typeof ownShape>;

const imageShape = z.object({ Id: z.string(), Config: z.nullish(z.object({ Labels: z.nullish(labels) })) });
const createdShape = z.object({ Id: z.string() });
const rootShape = z.object({ DockerRootDir: z.string() });

/** An image: its id, and the version of weave in it; undefined for one of something else. */
export interface RouterImage {
  readonly id: string;
  readonly version: string | undefined;
}

/** Inspects a container. @returns undefined when there is none of that name */
export function findContainer(engine: Engine, name: string): Promise<OwnContainer | undefined> {
  return unlessMissing(engine.json({ path: `/containers/${name}/json` }, ownShape));
}

/** Inspects an image. @returns undefined when the engine has none of that name */
export async function findImage(engine: Engine, name: string): Promise<RouterImage | undefined> {
  const image = await unlessMissing(engine.json({ path: imagePath(name) }, imageShape));
  return image && { id: image.Id, version: image.Config?.Labels?.[VERSION_LABEL] };
}

/** The folder with the engine's own files, as the engine sees it. */
export async function engineFolder(engine: Engine): Promise<string> {
  return (await engine.json({ path: "/info" }, rootShape)).DockerRootDir;
}

/** Creates a container. @returns its id @throws EngineError with status 409 when the name is taken */
export async function createOwnContainer(engine: Engine, name: string, body: object): Promise<string> {
  const path = `/containers/create?name=${name}`;
  return (await engine.json({ method: "POST", path, body, timeoutMs: SLOW_MS }, createdShape)).Id;
}

/** Calls `POST /containers/{container}/{action}`. */
export const act = (engine: Engine, container: string, action: string, body?: object): Promise<void> =>
  engine.done({ method: "POST", path: `/containers/${container}/${action}`, timeoutMs: SLOW_MS, body });

/**
 * Removes a container, running or not. One that is missing is no error.
 *
 * @param volumes "with volumes": also those without a name that no other container has. The router's state is in such a volume.
 */
export async function removeContainer(engine: Engine, container: string, volumes?: "with volumes"): Promise<void> {
  const path = `/containers/${container}?force=1${volumes === undefined ? "" : "&v=1"}`;
  await unlessMissing(engine.done({ method: "DELETE", path, timeoutMs: SLOW_MS }));
}

/** Unpacks an archive of tar into a folder of a container, which need not run. */
export function upload(engine: Engine, container: string, folder: string, archive: Buffer): Promise<void> {
  const path = `/containers/${container}/archive?path=${encodeURIComponent(folder)}`;
  return engine.done({ method: "PUT", path, body: archive, timeoutMs: SLOW_MS });
}

async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}
