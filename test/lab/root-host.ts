import { DockerHost } from "#test/lab/docker-host.js";
import { ROOT } from "#test/lab/docs/pages.js";
import type { HostOptions } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { Namespace, type Result } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";

const SET_UP = new URL("../../../test/lab/root-host.sh", import.meta.url).pathname;

/** A host's file system at first. */
export interface Disk {
  /** The folder that it is a copy of; default: that of this machine. */
  readonly root?: string;
  /** Folders of this machine that the host has, too, beside the checkout. */
  readonly shared?: readonly string[];
}

/** A host whose whole file system is its own, to install on: what it writes is in memory, and gone afterwards. */
export class RootHost extends DockerHost {
  readonly #disk: Disk;

  constructor(options: HostOptions, disk: Disk) {
    // Its engine, if it has one, is that of its own file system.
    super({ ...options, environment: { PATH: process.env.PATH! } }, {});
    this.#disk = disk;
    this.weaveCommand = ["weave"];
  }

  protected override get setUp(): readonly string[] {
    const { root = "/", shared = [] } = this.#disk;
    return [SET_UP, this.folder, this.name, root, ROOT, ...shared];
  }

  /** Makes a container: a namespace that this host alone knows by name. */
  override async container(name: string): Promise<InnerNamespace> {
    await this.must("ip", "netns", "add", name);
    return new InnerNamespace(name, this.command("ip", "netns", "exec", name));
  }

  /** Makes a container and attaches it. */
  override async attach(name: string, cidr: string): Promise<InnerNamespace> {
    const container = await this.container(name);
    await this.ok("attach", cidr, `netns:${name}`);
    return container;
  }

  /** A line of shell, whose `weave` is what is installed. */
  override shell(line: string): Promise<Result> {
    return this.runWith(this.environment, "sh", "-c", line);
  }
}

/** A network namespace within a host of its own file system. */
class InnerNamespace extends Namespace {
  readonly #enter: readonly string[];

  constructor(ns: string, enter: readonly string[]) {
    super(ns);
    this.#enter = enter;
  }

  protected override get enter(): readonly string[] {
    return this.#enter;
  }
}

/** Why tests on such hosts cannot run here; undefined where they can. */
export function rootHostsImpossible(): string | undefined {
  return hostTestsImpossible() ?? programMissing("tini-static", "tini");
}

/** Hosts with file systems of their own. */
export async function rootLab(count: number, disk: Disk = {}): Promise<Lab<RootHost>> {
  const lab = await Lab.createWith(count, (options) => new RootHost(options, disk));
  try {
    for (const host of lab.hosts) await host.begin();
    return lab;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}
