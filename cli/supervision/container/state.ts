import type { Launch } from "#cli/launch/launch-flags.js";
import { lastLaunchText } from "#cli/launch/resume.js";
import { dataConfig, VOLUME } from "#cli/supervision/container/container-config.js";
import { parseDockerArgs } from "#cli/supervision/container/docker-args.js";
import { type TarFile, tarArchive } from "#cli/supervision/container/tar.js";
import { keptLaunchText } from "#cli/supervision/kept-launch.js";
import { dataContainerName } from "#cli/support/environment.js";
import { containerEngine, hasRole } from "#cli/support/router-container.js";
import type { Engine } from "#docker/engine/engine.js";
import { createOwnContainer, findContainer, type OwnContainer, upload } from "#docker/engine/own-containers.js";
import { WeaveError } from "#src/errors.js";
import { keptLaunchFile, lastLaunchFile, newLaunchFile } from "#src/paths.js";

/*
 * The router's state is in the volume of the data container. The router's container has that folder at the path that it has on the
 * host: the waiting helper, which containers mount from there, needs a path of the host, and commands on the host find the state by it.
 */

/** Folder with the state, as the host sees it; undefined when there is no data container. @throws WEAVE_DOCKER, WEAVE_DOCKER_UNAVAILABLE */
export async function stateFolder(engine = containerEngine()): Promise<string | undefined> {
  const name = dataContainerName();
  const found = await findContainer(engine, name);
  if (found === undefined) return undefined;
  if (!hasRole(found, "state"))
    throw new WeaveError(
      "WEAVE_DOCKER",
      `the container '${name}' (of the image ${found.Config.Image}) is not weave's`,
      {
        next: `'docker rm -v ${name}' removes it with its data, those of Weave Net for example; or set another WEAVE_CONTAINER_NAME.`,
      },
    );
  const source = found.Mounts.find(({ Destination }) => Destination === VOLUME)?.Source;
  if (source) return source;
  throw new WeaveError("WEAVE_DOCKER", `the container '${name}' has no volume at ${VOLUME} on this host`, {
    next: `'docker rm -v ${name}' removes it, and 'weave launch' makes a new one.`,
  });
}

/**
 * Completes a launch whose router runs in a container: its database is beside the state of the last one.
 *
 * @throws WEAVE_FLAG_INVALID for flags that have no meaning for a container; as {@link stateFolder}
 */
export async function inContainer(launch: Launch): Promise<Launch> {
  const { options, given, foreground } = launch;
  if (foreground)
    throw new WeaveError("WEAVE_FLAG_INVALID", "--image and --foreground exclude one another", {
      next: "The log of a router in a container is in 'docker logs'.",
    });
  if (given.includes("dbPrefix") || process.env.WEAVE_STATE_DIR)
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      `with --image the state is in the volume of the container '${dataContainerName()}', and --db-prefix and WEAVE_STATE_DIR have no place`,
      { next: "Leave them out; or leave out --image (and WEAVE_IMAGE)." },
    );
  parseDockerArgs(process.env.WEAVE_DOCKER_ARGS ?? "");
  const folder = await stateFolder(containerEngine(options.docker.api));
  if (folder === undefined && options.resume)
    throw new WeaveError(
      "WEAVE_FLAG_INVALID",
      `--resume: there is no run in a container yet, as there is no container '${dataContainerName()}'`,
      {
        next: "Leave it out, and give peers and password. 'weave backup' and 'weave restore' move the state of another run.",
      },
    );
  return folder === undefined ? launch : { ...launch, options: { ...options, dbPrefix: databasePrefix(folder) } };
}

/** Path prefix of the database in the folder with the state. */
export const databasePrefix = (folder: string): string => `${folder}/weave`;

/**
 * Folder with the state; makes the data container if it is missing. As it never runs, `docker container prune` removes it.
 *
 * @param router a router that runs: it still has the volume
 * @throws as {@link stateFolder}
 */
export async function openState(engine: Engine, image: string, router?: OwnContainer): Promise<string> {
  const folder = await stateFolder(engine);
  if (folder !== undefined) return folder;
  const hasState = router?.Mounts.some(({ Destination }) => Destination === VOLUME) === true;
  await createOwnContainer(engine, dataContainerName(), dataConfig(image, hasState ? router.Id : undefined));
  return (await stateFolder(engine))!;
}

/** Puts the options of a launch beside the state, for root alone: who may inspect the container must not read the password. */
export async function storeLaunch(engine: Engine, launch: Launch): Promise<void> {
  const env = { WEAVE_STATE_DIR: VOLUME };
  await store(engine, [
    { name: keptLaunchFile(env), content: keptLaunchText(launch, process.env) },
    { name: newLaunchFile(env), content: "" },
  ]);
}

/** Stores the options of a launch that has succeeded, for `--resume`: one that fails must not hide that the last had a password. */
export const storeLastLaunch = (engine: Engine, { options }: Launch): Promise<void> =>
  store(engine, [{ name: lastLaunchFile(databasePrefix(VOLUME)), content: lastLaunchText(options) }]);

/** Writes files into the volume. */
async function store(engine: Engine, files: readonly TarFile[]): Promise<void> {
  const inVolume = files.map(({ name, content }) => ({ name: name.slice(VOLUME.length + 1), content }));
  await upload(engine, dataContainerName(), VOLUME, tarArchive(inVolume, Math.floor(Date.now() / 1_000)));
}
