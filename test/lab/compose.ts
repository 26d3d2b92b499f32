import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DockerHost } from "#test/lab/docker-host.js";
import { chosenEngine, engineAtLeast } from "#test/lab/engine.js";
import type { Result } from "#test/lab/namespace.js";
import { programMissing } from "#test/lab/requirements.js";

/** A generation of Compose: 5 is a plugin of Docker's client, made by `scripts/engines.sh 29`; 1 is Debian's `docker-compose`. */
export type ComposeVersion = 5 | 1;

/** Why tests with a Compose cannot run here; undefined where they can. */
export function composeImpossible(version: ComposeVersion): string | undefined {
  if (version === 1) return programMissing("docker-compose", "docker-compose", false);
  try {
    compose5();
    return undefined;
  } catch (error) {
    return `needs Compose 5: ${error instanceof Error ? error.message : error}`;
  }
}

/** Why Compose cannot replace containers on the tests' engine; undefined where it can. */
export const replaceImpossible = (version: ComposeVersion): string | undefined =>
  version === 1 && engineAtLeast(25)
    ? "Compose 1 fails when it replaces a container of an engine from 25 on, with and without weave"
    : undefined;

/** @throws Error when it is not there */
function compose5(): string {
  const path = join(chosenEngine("29").folder ?? "", "docker-compose");
  if (existsSync(path)) return path;
  throw new Error(`there is no ${path}: scripts/engines.sh 29 makes it`);
}

/** A project of Compose on a host, as a user has it: a folder with a file, and commands in it. */
export class ComposeProject {
  readonly #host: DockerHost;
  readonly #folder: string;
  readonly #command: string;

  /**
   * @param name of the project, and of its folder
   * @param file the content of its `compose.yaml`
   * @param before what the user has typed before, such as `eval $(weave env);`
   */
  constructor(host: DockerHost, version: ComposeVersion, name: string, { file, before = "" }: ProjectOptions) {
    this.#host = host;
    this.#folder = join(host.folder, name);
    mkdirSync(this.#folder, { recursive: true });
    writeFileSync(join(this.#folder, "compose.yaml"), file);
    const settings = join(host.folder, "client");
    const plugin = join(settings, "cli-plugins", "docker-compose");
    mkdirSync(join(settings, "cli-plugins"), { recursive: true });
    if (version === 5 && !existsSync(plugin)) symlinkSync(compose5(), plugin);
    const compose = version === 5 ? `export DOCKER_CONFIG=${settings}; docker compose` : "docker-compose";
    this.#command = `cd ${this.#folder}; ${before} ${compose}`;
  }

  /** Replaces the project's file. */
  write(file: string): void {
    writeFileSync(join(this.#folder, "compose.yaml"), file);
  }

  /** Types a command of Compose, such as `up -d`. A failure ends the test. @returns its output and its messages */
  type(line: string): Promise<string> {
    return this.#host.type(`${this.#command} ${line} 2>&1`);
  }

  /** As {@link type}, but may fail. */
  shell(line: string): Promise<Result> {
    return this.#host.shell(`${this.#command} ${line}`);
  }

  /** The name of the first container of a service. */
  async container(service: string): Promise<string> {
    const id = (await this.shell(`ps -q ${service}`)).stdout.trim().split("\n")[0];
    return (await this.#host.type(`docker inspect -f '{{.Name}}' ${id}`)).replace(/^\//, "");
  }

  /** Ids of its containers, in order. */
  async ids(): Promise<readonly string[]> {
    return (await this.shell("ps -aq")).stdout.split("\n").filter(Boolean).sort();
  }
}

interface ProjectOptions {
  readonly file: string;
  readonly before?: string;
}
