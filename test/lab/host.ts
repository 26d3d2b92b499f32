import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ApiReply, call } from "#cli/support/client.js";
import { controlSocket, routerFile, supervisorFile } from "#src/paths.js";
import { livePid } from "#src/pid-file.js";
import { Namespace, type Result } from "#test/lab/namespace.js";

/** The command under test, as a user has it: with WEAVE_TEST_BUNDLE that of the bundle, which must be built, else that of the checkout. */
export const WEAVE = new URL(
  process.env.WEAVE_TEST_BUNDLE ? "../../../build/bundle/bin/weave" : "../../../bin/weave",
  import.meta.url,
).pathname;

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
  /** The start of its `weave` command: a test may install another one, or run it by another Node.js. */
  weaveCommand: readonly string[] = [WEAVE];
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
      WEAVE_CNI_PLUGIN_DIR: join(options.folder, "cni", "bin"),
      WEAVE_CNI_CONF_DIR: join(options.folder, "cni", "net.d"),
      // The machine's own engine is none of the lab's business.
      WEAVE_DOCKER_API: "",
    };
    this.#containers = options.container;
  }

  /** Where its weave keeps its sockets, as this process sees it. */
  get runDir(): string {
    return join(this.folder, "run");
  }

  /** `dbPrefix` of src/paths.ts, for a host that was launched without `--db-prefix`. */
  get databasePrefix(): string {
    return join(this.folder, "state", "weave");
  }

  get logFile(): string {
    return join(this.folder, "log", "router.log");
  }

  /** Runs the `weave` command on this host. */
  weave(...args: string[]): Promise<Result> {
    return this.weaveWith({}, ...args);
  }

  weaveWith(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Result> {
    const [program, ...first] = this.weaveCommand;
    return this.runWith({ ...this.environment, ...env }, program, ...first, ...args);
  }

  /** As {@link weave}, run by another program: one that changes what the command sees, say. */
  weaveVia(program: readonly string[], ...args: string[]): Promise<Result> {
    return this.runWith(this.environment, ...program, ...this.weaveCommand, ...args);
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

  /** Drops all packets between this host and others silently; without arguments it ends that. */
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
