import { containerName } from "#cli/support/environment.js";
import { Exit } from "#cli/support/exit.js";
import { hasRole } from "#cli/support/router-container.js";
import { compareVersions, type Engine } from "#docker/engine/engine.js";
import { findContainer, findImage, removeContainer } from "#docker/engine/own-containers.js";
import { WeaveError } from "#src/errors.js";
import { VERSION } from "#src/version.js";

/** Oldest API version with mounts as the router's container has them (Docker 1.13). */
const OLDEST_API = "1.25";

/** Checks that an engine answers, and can run the router's container. @throws WEAVE_DOCKER, WEAVE_DOCKER_UNAVAILABLE */
export async function requireApi(engine: Engine): Promise<void> {
  const version = await engine.negotiate();
  if (compareVersions(version, OLDEST_API) >= 0) return;
  throw new WeaveError("WEAVE_DOCKER", `--image needs an engine with API ${OLDEST_API}; this one has ${version}`, {
    next: "Upgrade Docker to 1.13 or later, or launch without --image.",
  });
}

/**
 * Checks that the name of the router's container is free, and removes one that has ended. Texts and statuses as in Weave Net.
 *
 * @throws Exit
 */
export async function requireFreeName(engine: Engine): Promise<void> {
  const name = containerName();
  const found = await findContainer(engine, name);
  if (found === undefined) return;
  const { Running, Paused, Status } = found.State;
  if (!hasRole(found, "router"))
    throw new Exit(2, `Found another ${Running ? "running " : ""}container named '${name}'. Aborting.`);
  if (Running && !Paused) throw new Exit(3, "weave is already running; you can stop it with 'weave stop'.");
  if (!["exited", "dead"].includes(Status))
    throw new Exit(1, "weave is created, paused, or restarting; you can stop it with 'weave stop'.");
  // Without its data container the state is to be forgotten: the volume goes with the last container that has it.
  await removeContainer(engine, found.Id, "with volumes");
}

/** Checks that the engine has an image, and a router is in it. @returns the image's id @throws WEAVE_DOCKER */
export async function requireImage(engine: Engine, image: string): Promise<string> {
  const found = await findImage(engine, image);
  if (found === undefined)
    throw new WeaveError("WEAVE_DOCKER", `the engine has no image ${image}`, {
      next: `'docker load -i weave-${VERSION}-image-ARCHITECTURE.tar' gives it the image of a release; 'docker pull ${image}' fetches one from a registry.`,
    });
  if (found.version === undefined)
    throw new WeaveError("WEAVE_DOCKER", `the image ${image} has no router of weave`, {
      next: "--image and WEAVE_IMAGE name an image that 'npm run build:image' or a release has made.",
    });
  return found.id;
}
