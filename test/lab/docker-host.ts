import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BootedHost } from "#test/lab/booted-host.js";
import { chosenEngine, type Engine, engineEnvironment } from "#test/lab/engine.js";
import { type HostOptions, WEAVE } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { execute, type Result } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const SET_UP = new URL("../../../test/lab/docker-host.sh", import.meta.url).pathname;
const START_MS = 120_000;

/** A host with a real Docker engine of its own: network, mount, UTS and process namespaces. */
export class DockerHost extends BootedHost {
  #engine: ChildProcess | undefined;
  readonly #programs: string | undefined;
  readonly #cgroup: string;

  /** @param engine by default the one that `WEAVE_TEST_ENGINE` names */
  constructor(options: HostOptions, engine: Engine = chosenEngine()) {
    // It has a file system of its own: all is where users have it.
    super({ environment: { PATH: `${dirname(WEAVE)}:${process.env.PATH}` }, ...options });
    this.#programs = engine.folder;
    this.#cgroup = options.ns;
  }

  override get logFile(): string {
    return this.path("/var/log/weave/router.log");
  }

  protected override get enter(): readonly string[] {
    return ["nsenter", "-t", String(this.pid), "-m", "-u", "-n", "-p", "--"];
  }

  /** The program that becomes its first process, and prints "ready". */
  protected get setUp(): readonly string[] {
    return [SET_UP, this.folder, this.name];
  }

  /** Makes the host, without an engine yet. */
  async begin(): Promise<void> {
    const args = [`--net=/run/netns/${this.ns}`, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"];
    const child = spawn("nsenter", [...args, "--", ...this.setUp], { stdio: ["ignore", "pipe", "pipe"] });
    this.starter = child;
    let errors = "";
    child.stderr.on("data", (text) => {
      errors += text;
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout.on("data", (text) => String(text).includes("ready") && resolve());
      child.once("exit", (code) => reject(new Error(`${this.name} could not be made (${code}): ${errors}`)));
    });
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
    this.pid = Number(children.trim());
  }

  /** Makes the host, starts its engine and imports the image `busybox`. @param archive of {@link makeImage} */
  async boot(archive: string): Promise<void> {
    await this.begin();
    await this.startEngine();
    await this.loadImage(archive);
  }

  /** Starts the engine, and waits until it answers. @param args more of dockerd's flags */
  async startEngine(...args: string[]): Promise<void> {
    this.bootEngine(...args);
    await this.engineAnswers();
  }

  /** Starts the engine, and does not wait. */
  bootEngine(...args: string[]): void {
    const log = openSync(join(this.folder, "dockerd.log"), "a");
    const [file, ...enter] = this.enter;
    const flags = ["--cgroup-parent", `/${this.#cgroup}`, "--exec-opt", "native.cgroupdriver=cgroupfs"];
    this.#engine = spawn(file, [...enter, "dockerd", ...flags, ...args], {
      stdio: ["ignore", log, log],
      env: engineEnvironment(this.#programs),
    });
    closeSync(log);
  }

  async engineAnswers(): Promise<void> {
    await until(
      `${this.name}'s engine answers`,
      async () => (await this.run("docker", "version")).code === 0,
      START_MS,
    );
  }

  /** Ends the engine: in peace, or by `SIGKILL`. */
  async stopEngine(signal: "TERM" | "KILL" = "TERM"): Promise<void> {
    const ended = new Promise((resolve) => this.#engine?.once("exit", resolve));
    await this.run("sh", "-c", `kill -${signal} $(cat /var/run/docker.pid)`);
    await ended;
    // Its containerd dies with it; the containers' own keepers do not.
    if (signal === "KILL")
      await this.run("sh", "-c", "rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid");
  }

  /** The image `busybox`, made of the machine's own busybox. */
  async loadImage(archive: string): Promise<void> {
    await this.must("docker", "import", "-c", 'CMD ["/bin/sh"]', archive, "busybox");
  }

  /** Docker's client, as a user has it. A failure ends the test. */
  async docker(...args: string[]): Promise<string> {
    return (await this.must("docker", ...args)).trim();
  }

  /** A line of shell, as a user would type it. */
  shell(line: string): Promise<Result> {
    // Where standard input is a socket, bash reads the user's ~/.bashrc, which may wait for anything.
    return this.runWith(this.environment, "bash", "--norc", "-c", line);
  }

  /** As {@link shell}, but a failure ends the test. */
  async type(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.shell(line);
    if (code !== 0) throw new Error(`${this.name}$ ${line}: ${stderr || stdout || `exit status ${code}`}`);
    return stdout.trim();
  }

  /** Kills the router as a fault would; its supervisor starts it again. */
  async killRouter(): Promise<void> {
    await this.must("sh", "-c", `kill -9 $(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' /run/weave/router.pid)`);
  }

  override launch(...args: string[]): Promise<string> {
    return this.ok("launch", "--name", this.peerName, ...args);
  }

  engineLog(): string {
    const path = join(this.folder, "dockerd.log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  protected override get cgroups(): readonly string[] {
    const hierarchies = readdirSync("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`);
    return ["/sys/fs/cgroup", ...hierarchies].flatMap((hierarchy) =>
      [this.#cgroup, ...this.#plugins].map((name) => `${hierarchy}/${name}`),
    );
  }

  /** The identifiers of the engine's managed plugins. Their cgroups have these names, beside that of its containers (`--cgroup-parent`). */
  get #plugins(): string[] {
    const folder = this.path("/var/lib/docker/plugins");
    return existsSync(folder) ? readdirSync(folder).filter((name) => /^[0-9a-f]{64}$/.test(name)) : [];
  }
}

/**
 * Hosts with engines that run, and the image `busybox` in each.
 *
 * @param engine by default the one that `WEAVE_TEST_ENGINE` names
 */
export async function dockerLab(count: number, engine = chosenEngine()): Promise<Lab<DockerHost>> {
  const lab = await Lab.createWith(count, (options) => new DockerHost(options, engine));
  try {
    const archive = await makeImage(lab.folder);
    await Promise.all(lab.hosts.map((host) => host.boot(archive)));
    return lab;
  } catch (error) {
    const logs = lab.hosts.map((host) => host.engineLog().slice(-2_000)).join("\n");
    await lab.dispose();
    throw new Error(`${error instanceof Error ? error.message : error}\n${logs}`);
  }
}

/** Waits for Docker's network `weave`, which the router makes when the engine answers. */
export function networkThere(host: DockerHost, driver = "weavemesh"): Promise<void> {
  return until(`${host.name}'s Docker has the network weave`, async () =>
    (await host.type("docker network ls --format '{{.Name}} {{.Driver}}'")).includes(`weave ${driver}`),
  );
}

/** Makes an image of the machine's own busybox, as no registry is needed then. Returns the path of its archive. */
export async function makeImage(folder: string): Promise<string> {
  const archive = join(folder, "busybox.tar");
  const root = join(folder, "root");
  for (const name of ["bin", "etc", "tmp", "proc", "sys", "dev"]) mkdirSync(join(root, name), { recursive: true });
  cpSync(busyboxPath()!, join(root, "bin/busybox"));
  const script = `cd ${root}/bin && for a in $(./busybox --list); do [ -e $a ] || ln -s busybox $a; done; tar -C ${root} -cf ${archive} .`;
  const { code, stderr } = await execute("sh", ["-c", script]);
  if (code !== 0) throw new Error(`the image could not be made: ${stderr}`);
  return archive;
}

/** A busybox that needs no libraries. */
function busyboxPath(): string | undefined {
  const { stdout } = spawnSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" });
  const path = stdout.trim();
  if (path === "" || spawnSync("ldd", [path], { encoding: "utf8" }).status === 0) return undefined;
  return path;
}

/** What an engine and its tests consist of, and where it comes from. Newer releases of Debian package the client apart. */
const TOOLS = [
  ["dockerd", "docker.io"],
  ["docker", "docker-cli"],
  ["containerd", "containerd"],
  ["runc", "runc"],
  ["tini-static", "tini"],
  ["iptables", "iptables"],
  ["busybox", "busybox-static"],
] as const;

/** Why tests with a real engine cannot run here; undefined where they can. `required` is as of {@link programMissing}. */
export function dockerTestsImpossible({
  required,
  engine = chosenEngine(),
}: {
  required?: boolean;
  engine?: Engine;
} = {}): string | undefined {
  const general = hostTestsImpossible();
  if (general !== undefined) return general;
  for (const [tool, from] of TOOLS) {
    if (engine.folder !== undefined && existsSync(join(engine.folder, tool))) continue;
    const missing = programMissing(tool, from, required);
    if (missing !== undefined) return missing;
  }
  return busyboxPath() === undefined ? "needs a static busybox (apt-get install busybox-static)" : undefined;
}
