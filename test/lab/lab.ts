import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ApiReply, call } from "#cli/support/client.js";
import { hasTool } from "#src/linux/exec.js";
import { controlSocket, routerFile, supervisorFile } from "#src/paths.js";
import { livePid } from "#src/pid-file.js";

/** The command under test, as a user has it. */
export const WEAVE = new URL("../../../bin/weave", import.meta.url).pathname;
const PROGRAM = new URL("./program.js", import.meta.url).pathname;
const COMMAND_MS = 60_000;

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever that is. */
export function execute(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  timeout = COMMAND_MS,
): Promise<Result> {
  return new Promise((resolve) => {
    execFile(
      file,
      [...args],
      { timeout, killSignal: "SIGKILL", maxBuffer: 64 << 20, env: { ...process.env, ...env } },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr: stderr || (code === -1 ? String(error) : "") });
      },
    );
  });
}

async function must(file: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await execute(file, args);
  if (code !== 0) throw new Error(`${file} ${args.join(" ")}: ${stderr || `exit status ${code}`}`);
  return stdout;
}

/** A network namespace with programs in it. */
export class Namespace {
  readonly ns: string;

  constructor(ns: string) {
    this.ns = ns;
  }

  /** A command as this machine must run it, to run inside. */
  command(...command: string[]): string[] {
    return [...this.enter, ...command];
  }

  /** What a command must begin with to run inside. */
  protected get enter(): readonly string[] {
    return ["ip", "netns", "exec", this.ns];
  }

  run(...command: string[]): Promise<Result> {
    return this.runWith({}, ...command);
  }

  runWith(env: NodeJS.ProcessEnv, ...command: string[]): Promise<Result> {
    const [file, ...args] = this.command(...command);
    return execute(file, args, env);
  }

  async must(...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...command);
    if (code !== 0) throw new Error(`${command.join(" ")}: ${stderr || stdout || `exit status ${code}`}`);
    return stdout;
  }

  spawn(command: readonly string[]): ChildProcess {
    const [file, ...args] = this.command(...command);
    return spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  }

  /** One of the small programs of program.ts. */
  program(...args: string[]): Promise<Result> {
    return this.run(process.execPath, PROGRAM, ...args);
  }

  /** As {@link program}, in the background; resolves when it has said that it is ready. */
  async background(...args: string[]): Promise<Background> {
    const child = this.spawn([process.execPath, PROGRAM, ...args]);
    const background = new Background(child);
    await background.ready;
    return background;
  }

  /** Sends `count` echo requests; returns how many were answered. */
  async ping(address: string, options: { count?: number; size?: number; wait?: number } = {}): Promise<number> {
    const { count = 3, size = 56, wait = 1 } = options;
    const { stdout } = await this.run(
      "ping",
      "-n",
      "-q",
      "-c",
      String(count),
      "-i",
      "0.1",
      "-W",
      String(wait),
      "-s",
      String(size),
      address,
    );
    return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
  }
}

/** A program that prints "ready", works, and prints its result. */
export class Background {
  readonly ready: Promise<void>;
  readonly result: Promise<string>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    let output = "";
    let errors = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      errors += chunk;
    });
    this.ready = new Promise((resolve, reject) => {
      child.stdout!.on("data", (chunk: Buffer) => {
        output += chunk;
        if (output.startsWith("ready\n")) resolve();
      });
      child.once("exit", (code) => reject(new Error(`ended with ${code} before it was ready: ${errors}`)));
    });
    this.result = new Promise((resolve, reject) => {
      child.once("close", (code) =>
        code === 0
          ? resolve(output.slice("ready\n".length).trim())
          : reject(new Error(`ended with ${code}: ${errors}`)),
      );
    });
    this.result.catch(() => {});
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

export interface HostOptions {
  readonly ns: string;
  readonly name: string;
  readonly address: string;
  readonly device: string;
  readonly folder: string;
  readonly container: (name: string) => Promise<Namespace>;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A host: a network namespace on the lab's wire, with a weave of its own. */
export class Host extends Namespace {
  readonly name: string;
  /** On the wire, `10.99.0.n`. */
  address: string;
  readonly device: string;
  readonly folder: string;
  /** Moves weave's folders, as all hosts share one file system. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #containers: (name: string) => Promise<Namespace>;

  constructor(options: HostOptions) {
    super(options.ns);
    this.name = options.name;
    this.address = options.address;
    this.device = options.device;
    this.folder = options.folder;
    this.environment = options.environment ?? {
      WEAVE_RUN_DIR: join(options.folder, "run"),
      WEAVE_STATE_DIR: join(options.folder, "state"),
      WEAVE_LOG_DIR: join(options.folder, "log"),
      // The machine's own engine is none of the lab's business.
      WEAVE_DOCKER_API: "",
    };
    this.#containers = options.container;
  }

  /** Where its weave keeps its sockets, as this process sees it. */
  get runDir(): string {
    return join(this.folder, "run");
  }

  get logFile(): string {
    return join(this.folder, "log", "router.log");
  }

  /** Runs the `weave` command on this host. */
  weave(...args: string[]): Promise<Result> {
    return this.weaveWith({}, ...args);
  }

  weaveWith(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Result> {
    return this.runWith({ ...this.environment, ...env }, WEAVE, ...args);
  }

  /** As {@link weave}, run by another program: one that changes what the command sees, say. */
  weaveVia(program: readonly string[], ...args: string[]): Promise<Result> {
    return this.runWith(this.environment, ...program, WEAVE, ...args);
  }

  /** As {@link weave}, but a failure ends the test. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.weave(...args);
    if (code !== 0) throw new Error(`${this.name}: weave ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  }

  /** Launches with a name and nickname of its own: all hosts of a lab are one machine. */
  launch(...args: string[]): Promise<string> {
    return this.ok("launch", "--name", this.peerName, "--nickname", this.name, ...args);
  }

  get peerName(): string {
    return `02:00:00:00:00:${Number(this.address.split(".")[3]).toString(16).padStart(2, "0")}`;
  }

  /** Makes a container (a namespace) and attaches it. */
  async attach(name: string, cidr: string): Promise<Namespace> {
    const container = await this.#containers(name);
    await this.ok("attach", cidr, `netns:${container.ns}`);
    return container;
  }

  /** Makes a container with an address from IPAM. */
  async attachAny(name: string, subnet = "net:default"): Promise<{ container: Namespace; address: string }> {
    const container = await this.#containers(name);
    return { container, address: (await this.ok("attach", subnet, `netns:${container.ns}`)).trim() };
  }

  /** One call of the control API. */
  api(method: string, path: string): Promise<ApiReply> {
    return call({ method, path, address: controlSocket(this.runDir) });
  }

  /** Cuts this host off from others, both ways and without a word, or joins it again (none). */
  async cutOff(...others: Host[]): Promise<void> {
    const rules = others.flatMap(({ address }) => [
      `add rule inet cut input ip saddr ${address} drop`,
      `add rule inet cut output ip daddr ${address} drop`,
    ]);
    const chains = ["input", "output"].map(
      (hook) => `add chain inet cut ${hook} { type filter hook ${hook} priority -300; }`,
    );
    const script = ["add table inet cut", "delete table inet cut"];
    if (others.length > 0) script.push("add table inet cut", ...chains, ...rules);
    await this.must("nft", script.join("; "));
  }

  async container(name: string): Promise<Namespace> {
    return this.#containers(name);
  }

  async report(format: string): Promise<string> {
    return this.ok("report", "-f", format);
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : "";
  }

  /** Ends what runs on it beside weave. */
  end(): void {}

  get routerPid(): number | undefined {
    return livePid(routerFile(this.runDir));
  }

  get supervisorPid(): number | undefined {
    return livePid(supervisorFile(this.runDir));
  }
}

let labs = 0;

/** Several hosts on one wire, on one machine. Everything has names of its own, and is gone after {@link dispose}. */
export class Lab<H extends Host = Host> {
  readonly folder: string;
  readonly #prefix: string;
  readonly #namespaces: string[] = [];
  readonly hosts: H[] = [];
  readonly #onExit = () => this.#clean();

  private constructor(prefix: string) {
    this.#prefix = prefix;
    this.folder = mkdtempSync(join(tmpdir(), "weave-lab-"));
    // Also when the test itself crashes.
    process.once("exit", this.#onExit);
  }

  /** A wire, and `count` hosts on it: h1 at 10.99.0.1 and so on. */
  static create(count: number, options: { mtu?: number } = {}): Promise<Lab> {
    return Lab.createWith(count, (host) => new Host(host), options);
  }

  /** As {@link create}, with hosts of another kind. */
  static async createWith<H extends Host>(
    count: number,
    make: (options: HostOptions) => H,
    options: { mtu?: number } = {},
  ): Promise<Lab<H>> {
    // Short, as it begins the names of namespaces; its own for each lab, so that what one leaves does not hurt the next.
    const lab = new Lab<H>(`wl${(process.pid % 46_656).toString(36)}${(labs++).toString(36)}`);
    const wire = await lab.#namespace("wire");
    await must("ip", "-n", wire, "link", "add", "wire", "type", "bridge");
    await must("ip", "-n", wire, "link", "set", "wire", "up");
    for (let i = 1; i <= count; i++) await lab.#host(i, wire, options.mtu ?? 1_500, make);
    return lab;
  }

  async #host(index: number, wire: string, mtu: number, make: (options: HostOptions) => H): Promise<void> {
    const name = `h${index}`;
    const ns = await this.#namespace(name);
    const address = `10.99.0.${index}`;
    const [port, device] = [`p${index}`, "eth0"];
    await must(
      "ip",
      "link",
      "add",
      port,
      "netns",
      wire,
      "mtu",
      String(mtu),
      "type",
      "veth",
      "peer",
      "name",
      device,
      "netns",
      ns,
      "mtu",
      String(mtu),
    );
    await must("ip", "-n", wire, "link", "set", port, "master", "wire", "up");
    // Addresses that IPv6 makes by itself, seconds later, would blur what a test compares.
    // Below its smallest MTU (RFC 8200) a link has none, nor the switch for them.
    if (mtu >= 1_280) await must("ip", "netns", "exec", ns, "sysctl", "-qw", `net.ipv6.conf.${device}.disable_ipv6=1`);
    await must("ip", "-n", ns, "link", "set", device, "up");
    await must("ip", "-n", ns, "address", "add", `${address}/24`, "dev", device);
    const folder = join(this.folder, name);
    mkdirSync(folder);
    this.hosts.push(
      make({
        ns,
        name,
        address,
        device,
        folder,
        container: async (label) => new Namespace(await this.#namespace(`${name}${label}`)),
      }),
    );
  }

  async #namespace(label: string): Promise<string> {
    const ns = `${this.#prefix}-${label}`;
    await must("ip", "netns", "add", ns);
    this.#namespaces.push(ns);
    await must("ip", "-n", ns, "link", "set", "lo", "up");
    return ns;
  }

  /** The wire's own namespace, to watch it or to cut it: the port of host n is `pN`. */
  get wire(): Namespace {
    return new Namespace(`${this.#prefix}-wire`);
  }

  /** A container ends. */
  async removeNamespace(ns: string): Promise<void> {
    this.#namespaces.splice(this.#namespaces.indexOf(ns), 1);
    await execute("ip", ["netns", "delete", ns]);
  }

  async dispose(): Promise<void> {
    process.off("exit", this.#onExit);
    for (const host of this.hosts) await host.weave("stop");
    this.#clean();
  }

  #clean(): void {
    for (const host of this.hosts) {
      host.end();
      for (const pid of [host.supervisorPid, host.routerPid]) {
        if (pid !== undefined) process.kill(pid, "SIGKILL");
      }
    }
    for (const ns of this.#namespaces.splice(0)) {
      // Programs of the test that still run in it; they were started by us.
      const pids = spawnSync("ip", ["netns", "pids", ns], { encoding: "utf8" }).stdout ?? "";
      for (const pid of pids.split("\n").filter((line) => line !== "")) {
        try {
          process.kill(Number(pid), "SIGKILL");
        } catch {
          // Gone by itself.
        }
      }
      spawnSync("ip", ["netns", "delete", ns]);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs a test in a lab of `count` hosts, which is gone afterwards, whatever happens. */
export async function inLab(
  count: number,
  run: (lab: Lab) => Promise<void>,
  options: { mtu?: number } = {},
): Promise<void> {
  const lab = await Lab.create(count, options);
  try {
    await run(lab);
  } finally {
    await lab.dispose();
  }
}

/**
 * The start of a command that finds no nft on `host`. Mounts of the host still reach it: its named namespaces are among them.
 */
export async function withoutNft(host: Host): Promise<string[]> {
  const nft = (await host.must("sh", "-c", "readlink -f $(command -v nft)")).trim();
  return [
    "unshare",
    "--mount",
    "--propagation",
    "slave",
    "sh",
    "-c",
    `mount --bind /dev/null ${nft} && exec "$@"`,
    "sh",
  ];
}

/** Waits until `condition` holds. @throws with `what` when it does not in time */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}`);
    await sleep(50);
  }
}

/** Waits until `host` has `count` established connections. */
export async function connected(host: Host, count: number, timeoutMs?: number): Promise<void> {
  await until(
    `${host.name} has ${count} established connections`,
    async () => {
      const { stdout } = await host.weave("status", "connections");
      return stdout.split("\n").filter((line) => line.includes(" established ")).length === count;
    },
    timeoutMs,
  );
}

/**
 * Why a test that needs a program cannot run here; undefined where it can. The set-up installs such programs: under CI one that
 * is missing is a failure, lest tests be skipped unseen.
 *
 * @param tool the program, as found on the path
 * @param from the Debian package that has it
 * @param required whether to throw when it is missing
 */
export function programMissing(tool: string, from: string, required = Boolean(process.env.CI)): string | undefined {
  if (hasTool(tool)) return undefined;
  const reason = `needs ${tool} (apt-get install ${from})`;
  if (required) throw new Error(`${reason}: scripts/with-setup.sh should have installed it`);
  return reason;
}

/** Why tests that need real interfaces cannot run here; undefined where they can. */
export function hostTestsImpossible(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root: network namespaces and TAP devices";
  if (!existsSync("/dev/net/tun")) return "needs /dev/net/tun";
  const probe = `weave-probe-${process.pid}`;
  if (spawnSync("ip", ["netns", "add", probe]).status !== 0) return "needs the right to make network namespaces";
  spawnSync("ip", ["netns", "delete", probe]);
  return undefined;
}
