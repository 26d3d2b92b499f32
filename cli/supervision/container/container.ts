import { rmSync } from "node:fs";
import type { Launch } from "#cli/launch/launch-flags.js";
import { alone } from "#cli/supervision/alone.js";
import { routerConfig } from "#cli/supervision/container/container-config.js";
import { requireApi, requireFreeName, requireImage } from "#cli/supervision/container/requirements.js";
import {
  databasePrefix,
  openState,
  stateFolder,
  storeLastLaunch,
  storeLaunch,
} from "#cli/supervision/container/state.js";
import { writeLaunchFile } from "#cli/supervision/launch-files.js";
import { waitUntilReady } from "#cli/supervision/ready.js";
import type { Launched, Supervision } from "#cli/supervision/supervision.js";
import { containerName, dataContainerName } from "#cli/support/environment.js";
import { Exit } from "#cli/support/exit.js";
import { lastFailure } from "#cli/support/processes.js";
import { containerEngine, hasRole, isKeptRunning, type Role, routerContainer } from "#cli/support/router-container.js";
import { supervised } from "#cli/support/supervised.js";
import { type Engine, EngineError } from "#docker/engine/engine.js";
import { DEFAULT_ENGINE } from "#docker/engine/engine-address.js";
import {
  act,
  createOwnContainer,
  engineFolder,
  findContainer,
  type OwnContainer,
  ROLE_LABEL,
  removeContainer,
  STOP_S,
  VERSION_LABEL,
} from "#docker/engine/own-containers.js";
import { errorText, WeaveError } from "#src/errors.js";
import { hasTool } from "#src/linux/exec.js";
import { failureFile, paths } from "#src/paths.js";

/** Interval between looks at a container that starts, in ms. */
const LOOK_MS = 250;
/** Error of an engine for a folder whose later mounts cannot be passed on (docker/volume/mounts). */
const NOT_SHARED = /not a shared( or slave)? mount/;

/** The engine runs the router, in a container: it starts it again after a crash and at each of its own starts. */
export const containerSupervision = (): Supervision => ({
  ...supervised("container"),
  start,
  stop,
  restart: (image) => alone(() => restart(image)),
  retire,
  remove,
  databasePrefix: async () => {
    const folder = await stateFolder();
    return folder && databasePrefix(folder);
  },
});

async function start(launch: Launch): Promise<string> {
  const { image } = launch;
  const engine = containerEngine(launch.options.docker.api);
  await requireApi(engine);
  await requireFreeName(engine);
  await requireImage(engine, image);
  await removeLeftovers(engine);
  const data = dataContainerName();
  const folder = await openState(engine, image).catch(cannot(`create the container '${data}'`));
  const options = { ...launch.options, dbPrefix: databasePrefix(folder) };
  await storeLaunch(engine, { ...launch, options }).catch(
    cannot(`store the options of the launch in the volume of '${data}'`),
  );
  writeLaunchFile(options, "container");
  const containersFolder = await containersFolderOf(engine, folder);
  const plan = { image, options, dataContainer: data, containersFolder, stateFolder: folder };
  const id = await createAndStart(engine, (propagation) => routerConfig({ ...plan, propagation }, process.env));
  await untilReady(engine);
  await storeLastLaunch(engine, { ...launch, options }).catch((error) => {
    process.stderr.write(`WARNING: this launch is not stored for 'launch --resume': ${errorText(error)}\n`);
  });
  return id;
}

/**
 * Folder with the containers' own files: beside the volumes, if those are at their usual place. A query of the engine's folder takes 15 s
 * while a plugin does not answer, and that of weave does not run now.
 */
async function containersFolderOf(engine: Engine, folder: string): Promise<string> {
  const root = /^(.+)\/volumes\/[^/]+\/_data$/.exec(folder)?.[1] ?? (await engineFolder(engine));
  return `${root}/containers`;
}

/** @param config makes the body for a container with propagation of mounts, or without */
async function createAndStart(engine: Engine, config: (propagation: boolean) => object): Promise<string> {
  try {
    return await startNew(engine, config(true));
  } catch (error) {
    if (!NOT_SHARED.test(errorText(error))) throw error;
    process.stderr.write(
      "WARNING: /run of this host is no shared mount: 'weave attach netns:NAME' may not find a namespace that is made later. 'mount --make-rshared /' before the launch changes that.\n",
    );
    return startNew(engine, config(false));
  }
}

/** Creates the router's container and starts it. If it cannot start, none is left. @returns its id */
async function startNew(engine: Engine, body: object): Promise<string> {
  const name = containerName();
  const id = await createOwnContainer(engine, name, body).catch(cannot(`create the container '${name}'`));
  try {
    await act(engine, id, "start");
    return id;
  } catch (error) {
    await removeContainer(engine, id);
    return cannot(`start the container '${name}'`)(error);
  }
}

/** Throws an error of the engine again, with what the engine was to do. */
const cannot =
  (what: string) =>
  (error: unknown): never => {
    const why = errorText(error);
    if (why.includes("/dev/net/tun"))
      throw new WeaveError("WEAVE_NO_TUN", `the engine finds no /dev/net/tun: ${why}`, {
        cause: error,
        next: "'modprobe tun' loads the kernel's module for it.",
      });
    if (!(error instanceof EngineError)) throw error;
    throw new WeaveError("WEAVE_DOCKER", `the engine could not ${what}: ${why}`, { cause: error });
  };

/** Waits until the router answers. A container that fails is stopped: its policy would start it for ever. */
async function untilReady(engine: Engine): Promise<void> {
  const name = containerName();
  let looked = 0;
  const failure = async (): Promise<string | undefined> => {
    const why = lastFailure();
    if (why === undefined && Date.now() - looked < LOOK_MS) return undefined;
    looked = Date.now();
    const found = await routerContainer(engine);
    if (why === undefined && found !== undefined && isKeptRunning(found) && !found.State.Restarting) return undefined;
    if (found !== undefined && isKeptRunning(found)) await halt(engine, found);
    return why ?? `The ${name} container has died. Consult the container logs for further details: docker logs ${name}`;
  };
  await waitUntilReady({ what: `container '${name}'`, logHint: supervised("container").logHint, failure });
}

async function stop(): Promise<boolean> {
  const engine = containerEngine();
  const found = await routerContainer(engine);
  if (found === undefined || !isKeptRunning(found)) return false;
  await openState(engine, found.Image, found).catch((error) => {
    process.stderr.write(`WARNING: the container '${dataContainerName()}' cannot be made again: ${errorText(error)}\n`);
  });
  await halt(engine, found);
  return true;
}

/** Stops a container for good: an engine with the policy `always` would start it again at its own next start. */
async function halt(engine: Engine, { Id, State }: OwnContainer): Promise<void> {
  if (State.Paused) await act(engine, Id, "unpause");
  await act(engine, Id, `stop?t=${STOP_S}`);
  // The engine rejects this for a container between two starts.
  await act(engine, Id, "update", { RestartPolicy: { Name: "no" } });
}

/** @param image a new image; "" for the one that the container's name for it means now */
async function restart(image = ""): Promise<void> {
  const engine = containerEngine();
  const old = await routerContainer(engine);
  if (old === undefined) throw new Exit(1, `there is no container '${containerName()}'`);
  const wanted = image || old.Config.Image;
  // Someone may have removed the image's name.
  const id =
    image === "" ? await requireImage(engine, wanted).catch(() => old.Image) : await requireImage(engine, wanted);
  const data = dataContainerName();
  await openState(engine, id, old).catch(cannot(`create the container '${data}'`));
  rmSync(failureFile(paths().run), { force: true });
  if (id === old.Image) {
    await act(engine, old.Id, `restart?t=${STOP_S}`);
    return untilReady(engine);
  }
  await replace(engine, old, wanted);
}

/** Puts a container of another image in the place of the router's. If it cannot start, the old one runs again. */
async function replace(engine: Engine, old: OwnContainer, image: string): Promise<void> {
  const name = containerName();
  const [next, last] = [`${name}-next`, `${name}-last`];
  await removeLeftovers(engine);
  const id = await createOwnContainer(engine, next, successor(old, image)).catch(
    cannot(`create the container '${next}'`),
  );
  // If this command ends here, the next start of the engine must not start both.
  await halt(engine, old);
  await act(engine, old.Id, `rename?name=${last}`);
  await act(engine, id, `rename?name=${name}`);
  try {
    await act(engine, id, "start").catch(cannot(`start the container '${name}'`));
    await untilReady(engine);
  } catch (error) {
    await removeContainer(engine, id);
    await act(engine, old.Id, `rename?name=${name}`);
    rmSync(failureFile(paths().run), { force: true });
    await act(engine, old.Id, "update", { RestartPolicy: old.HostConfig.RestartPolicy });
    await act(engine, old.Id, "start");
    await untilReady(engine);
    throw new WeaveError("WEAVE_DOCKER", `the router of ${image} does not start: ${errorText(error)}`, {
      cause: error,
      next: `The router of ${old.Config.Image} runs again.`,
    });
  }
  await removeContainer(engine, old.Id);
}

/** The body for a container like another one, of another image. Settings of the old image are left out. */
function successor({ Config, HostConfig }: OwnContainer, image: string): object {
  const labels = Object.entries(Config.Labels ?? {}).filter(
    ([key]) => key !== VERSION_LABEL && !key.startsWith("org.opencontainers.image."),
  );
  return {
    Image: image,
    Cmd: Config.Cmd ?? [],
    Env: (Config.Env ?? []).filter((entry) => !entry.startsWith("PATH=")),
    Labels: { ...Object.fromEntries(labels), [ROLE_LABEL]: "router" satisfies Role },
    HostConfig,
  };
}

/** Removes containers that an interrupted replacement has left. */
async function removeLeftovers(engine: Engine): Promise<void> {
  for (const suffix of ["-next", "-last"]) await removeOwn(engine, `${containerName()}${suffix}`, "router");
}

async function removeOwn(engine: Engine, name: string, role: Role, volumes?: "with volumes"): Promise<void> {
  const found = await findContainer(engine, name);
  if (found !== undefined && hasRole(found, role)) await removeContainer(engine, found.Id, volumes);
}

/**
 * The engine starts the container of an earlier launch again, also one that `docker stop` has ended. Without an answer of the engine
 * nothing is done.
 */
async function retire({ options }: Launched): Promise<void> {
  try {
    const engine = containerEngine(options.docker.api || DEFAULT_ENGINE);
    const found = await routerContainer(engine);
    if (found === undefined || runFolderOf(found) !== paths().run) return;
    if (isKeptRunning(found)) return await halt(engine, found);
    await act(engine, found.Id, "update", { RestartPolicy: { Name: "no" } });
  } catch (error) {
    if (!(error instanceof WeaveError)) throw error;
  }
}

/** The run folder of the router in a container. */
function runFolderOf({ Config }: OwnContainer): string {
  const prefix = "WEAVE_RUN_DIR=";
  const entry = Config.Env?.find((each) => each.startsWith(prefix));
  return paths(entry === undefined ? {} : { WEAVE_RUN_DIR: entry.slice(prefix.length) }).run;
}

async function remove(): Promise<void> {
  const engine = containerEngine();
  if (!hasTool("nft"))
    process.stderr.write(
      "WARNING: this host has no nft: the firewall table 'inet weave' of the container stays until 'nft delete table inet weave' or a boot.\n",
    );
  await removeLeftovers(engine);
  await removeOwn(engine, containerName(), "router", "with volumes");
  await removeOwn(engine, dataContainerName(), "state", "with volumes");
}
