import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { PODMAN_SOCKET } from "#docker/engine/podman.js";
import { DockerHost, dockerTestsImpossible, makeImage } from "#test/lab/docker-host.js";
import type { HostOptions } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { execute } from "#test/lab/namespace.js";
import { programMissing } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const START_MS = 60_000;
/** The cgroup in which Podman makes those of containers and pods, with cgroupfs as its manager. */
const PARENT = "libpod_parent";

/** What implements Podman's networks: its own program, or plugins of CNI. */
export type PodmanBackend = "netavark" | "cni";

/** Podman for a host of the lab: there is no systemd with its cgroups and its journal. Debian's crun refuses a hybrid tree of cgroups. */
const config = (backend: PodmanBackend): string => `[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[containers]
log_driver = "k8s-file"
[network]
network_backend = "${backend}"
`;

/** A host with Podman, and with Docker's client. There is no Docker engine on it. */
export class PodmanHost extends DockerHost {
  #service: ChildProcess | undefined;
  readonly #backend: PodmanBackend;
  /** Ids of its pods when it ends. */
  #pods: readonly string[] = [];

  constructor(options: HostOptions, backend: PodmanBackend = "netavark") {
    super(options);
    this.#backend = backend;
  }

  override async begin(): Promise<void> {
    await super.begin();
    for (const name of ["containers", "opt"]) mkdirSync(join(this.folder, name), { recursive: true });
    const script = `
      mkdir -p /var/lib/containers /etc/containers
      mount --bind "$1/opt" /opt
      mount --bind "$1/containers" /var/lib/containers
      printf '%s' "$2" > /etc/containers/containers.conf
      mount --bind /dev/null "$(command -v dockerd)"`;
    await this.must("sh", "-ec", script, "sh", this.folder, config(this.#backend));
  }

  /** As a power failure and a boot: processes, namespaces and interfaces are gone, and disks are as they were. Podman's service runs. */
  async reboot(): Promise<void> {
    this.end();
    const { stdout } = await execute("ip", ["-n", this.ns, "-o", "link"]);
    const names = [...stdout.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name);
    for (const name of names.filter((each) => each !== "lo" && each !== this.device))
      await execute("ip", ["-n", this.ns, "link", "delete", name]);
    await execute("ip", ["-n", this.ns, "address", "flush", "dev", "lo", "label", "lo:weave"]);
    await execute("ip", ["netns", "exec", this.ns, "nft", "flush", "ruleset"]);
    await this.begin();
    await this.startEngine();
  }

  /** Starts Podman's service, and does not wait. @param flags of podman-system-service(1); by default it does not end by itself */
  override bootEngine(...flags: string[]): void {
    const log = openSync(join(this.folder, "dockerd.log"), "a");
    const [file, ...enter] = this.enter;
    const line = `mkdir -p /run/podman; rm -f ${PODMAN_SOCKET}; exec podman system service "$@" unix://${PODMAN_SOCKET}`;
    const args = [...enter, "sh", "-c", line, "sh", ...(flags.length > 0 ? flags : ["--time=0"])];
    this.#service = spawn(file, args, { stdio: ["ignore", log, log] });
    closeSync(log);
  }

  override async engineAnswers(): Promise<void> {
    await until(`${this.name}'s Podman answers`, () => this.serviceAnswers(), START_MS);
  }

  async serviceAnswers(): Promise<boolean> {
    return (await this.run("docker", "-H", `unix://${PODMAN_SOCKET}`, "version")).code === 0;
  }

  /** Ends Podman's service. Its containers run on. */
  override async stopEngine(signal: "TERM" | "KILL" = "TERM"): Promise<void> {
    const ended = new Promise((resolve) => this.#service?.once("exit", resolve));
    if (this.#service?.exitCode !== null) return;
    await this.run("sh", "-c", `kill -${signal} $(pidof podman)`);
    await ended;
  }

  override async loadImage(archive: string): Promise<void> {
    await this.must("podman", "import", "-c", 'CMD ["/bin/sh"]', archive, "busybox");
  }

  /** Podman's own command, which does not use the service. A failure ends the test. */
  podman(line: string): Promise<string> {
    return this.type(`podman ${line}`);
  }

  override end(): void {
    const [file, ...enter] = this.enter;
    const { stdout } = spawnSync(file, [...enter, "podman", "pod", "ls", "-q", "--no-trunc"], { encoding: "utf8" });
    this.#pods = (stdout ?? "").split("\n").filter((id) => id !== "");
    super.end();
  }

  // All hosts have one parent: they share the machine's tree.
  protected override get cgroups(): readonly string[] {
    const hierarchies = readdirSync("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`);
    const containers = ids(join(this.folder, "containers/storage/overlay-containers"));
    const names = [...containers.map((id) => `libpod-${id}`), ...this.#pods];
    return ["/sys/fs/cgroup", ...hierarchies].flatMap((tree) => names.map((name) => `${tree}/${PARENT}/${name}`));
  }
}

function ids(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => /^[0-9a-f]{64}$/.test(name));
  } catch {
    return [];
  }
}

/** What Podman and its tests consist of, beside what {@link dockerTestsImpossible} needs, and where it comes from. */
export const PODMAN_TOOLS = [
  ["podman", "podman"],
  ["/usr/lib/podman/netavark", "netavark"],
  ["/usr/lib/podman/aardvark-dns", "aardvark-dns"],
  ["catatonit", "catatonit"],
] as const;

/** What a user without root's rights needs beside. */
export const ROOTLESS_TOOLS = [
  ["newuidmap", "uidmap"],
  ["slirp4netns", "slirp4netns"],
] as const;

/** What its backend of CNI needs beside. */
export const PODMAN_CNI_TOOLS = [
  ["/usr/lib/cni/bridge", "containernetworking-plugins"],
  ["/usr/lib/cni/portmap", "containernetworking-plugins"],
] as const;

/** Why tests with Podman cannot run here; undefined where they can. @param tools programs, each with its package of Debian */
export function podmanTestsImpossible(
  tools: readonly (readonly [tool: string, from: string])[] = PODMAN_TOOLS,
): string | undefined {
  const general = dockerTestsImpossible();
  if (general !== undefined) return general;
  for (const [tool, from] of tools) {
    const missing = programMissing(tool, from);
    if (missing !== undefined) return missing;
  }
  return undefined;
}

/** Hosts with Podman whose service runs, and the image `busybox` in each. */
export async function podmanLab(count: number, backend?: PodmanBackend): Promise<Lab<PodmanHost>> {
  const lab = await Lab.createWith(count, (options) => new PodmanHost(options, backend));
  try {
    const archive = await makeImage(lab.folder);
    await Promise.all(lab.hosts.map((host) => host.boot(archive)));
    return lab;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}
