import { spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#test/lab/host.js";
import { inLab } from "#test/lab/lab.js";
import type { Namespace, Result } from "#test/lab/namespace.js";
import { piped } from "#test/lab/piped.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";
import { connected } from "#test/lab/wait.js";

/** Folder of the CNI project's plugins, as Debian has it. */
export const DEBIAN_PLUGINS = "/usr/lib/cni";
/** Why tests with these plugins cannot run here; undefined where they can. */
export const pluginsMissing = programMissing(join(DEBIAN_PLUGINS, "host-local"), "containernetworking-plugins");

const cache =
  process.env.WEAVE_ENGINES ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "weave-engines");
const CNITOOL = join(cache, "29", "bin", "cnitool");
/** Why tests with `cnitool` of the CNI project cannot run here; undefined where they can. */
export const cnitoolMissing = existsSync(CNITOOL) ? undefined : `needs ${CNITOOL}: scripts/engines.sh 29 makes it`;

/** A container of a call. */
export interface CniContainer {
  readonly id: string;
  /** Path of the network namespace. */
  readonly netns: string;
  readonly ifname?: string;
}

export interface CniReply extends Result {
  /** What was printed, as JSON; undefined for nothing. */
  readonly json: CniAnswer;
}

/** The fields of results and error objects that tests read. */
export interface CniAnswer {
  readonly cniVersion: string;
  readonly ips: readonly { address: string; gateway?: string; interface?: number; version?: string }[];
  readonly ip4?: { ip: string; gateway?: string; routes?: { dst: string; gw?: string }[] };
  readonly interfaces: readonly { name: string; mac?: string; sandbox?: string }[];
  readonly routes: readonly { dst: string; gw?: string }[];
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** A container runtime on a host of the lab: it runs CNI plugins. */
export class CniRuntime {
  readonly host: Host;
  readonly #folder: string;

  constructor(host: Host) {
    this.host = host;
    this.#folder = join(host.folder, "cni");
  }

  get plugins(): string {
    return join(this.#folder, "bin");
  }
  get configurations(): string {
    return join(this.#folder, "net.d");
  }
  /** Where `host-local` keeps its addresses. */
  get addresses(): string {
    return join(this.#folder, "host-local");
  }
  get releases(): string {
    return join(this.host.runDir, "cni-releases");
  }

  /** Installs weave's plugins, as a user does. */
  async setUp(): Promise<void> {
    for (const folder of [this.configurations, join(this.#folder, "lib")]) mkdirSync(folder, { recursive: true });
    await this.host.ok("setup-cni");
  }

  /** Writes a network configuration: a list of plugins. */
  configure(name: string, plugins: readonly object[], cniVersion = "1.0.0"): void {
    const text = JSON.stringify({ cniVersion, name, plugins });
    writeFileSync(join(this.configurations, `50-${name}.conflist`), text);
  }

  async container(label: string, ifname?: string): Promise<CniContainer & { namespace: Namespace }> {
    const namespace = await this.host.container(label);
    return { id: label, netns: `/run/netns/${namespace.ns}`, namespace, ...(ifname === undefined ? {} : { ifname }) };
  }

  /** One call of a plugin, as a runtime makes it. */
  call(
    command: string,
    configuration: object | string,
    container?: CniContainer,
    env: NodeJS.ProcessEnv = {},
    plugin = "weave-net",
  ): Promise<CniReply> {
    const variables = { ...this.environment(command, container), ...env };
    const file = existsSync(join(this.plugins, plugin)) ? join(this.plugins, plugin) : join(DEBIAN_PLUGINS, plugin);
    const input = typeof configuration === "string" ? configuration : JSON.stringify(configuration);
    return this.#execute([file], variables, input);
  }

  /** As {@link call}; a failure ends the test. */
  async must(...args: Parameters<CniRuntime["call"]>): Promise<CniAnswer> {
    const { code, json, stdout, stderr } = await this.call(...args);
    if (code !== 0) throw new Error(`${args[0]} ended with ${code}: ${stdout}${stderr}`);
    return json;
  }

  /** A call whose plugin is killed after some time. @param delay ms */
  async killed(command: string, configuration: object, container: CniContainer, delay: number): Promise<void> {
    const env = this.environment(command, container);
    const [file, ...args] = this.host.command(join(this.plugins, "weave-net"));
    const child = spawn(file, args, { env, stdio: ["pipe", "ignore", "ignore"] });
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(configuration));
    await sleep(delay);
    child.kill("SIGKILL");
    await closed;
  }

  /** Runs `cnitool`, with a /var/lib of its own, where it keeps results. */
  cnitool(command: string, network: string, netns: string, env: NodeJS.ProcessEnv = {}): Promise<CniReply> {
    const inside = `mount --bind ${join(this.#folder, "lib")} /var/lib && exec "$@"`;
    const variables = { ...this.#environment(), NETCONFPATH: this.configurations, ...env };
    return this.#execute(["sh", "-c", inside, "sh", CNITOOL, command, network, netns], variables, "");
  }

  /** The environment of a call. */
  environment(command: string, container?: CniContainer): NodeJS.ProcessEnv {
    return { ...this.#environment(), CNI_COMMAND: command, ...(container && variablesOf(container)) };
  }

  #environment(): NodeJS.ProcessEnv {
    return { PATH: process.env.PATH, CNI_PATH: `${this.plugins}:${DEBIAN_PLUGINS}`, ...this.host.environment };
  }

  async #execute(command: readonly string[], env: NodeJS.ProcessEnv, input: string): Promise<CniReply> {
    const result = await piped(this.host.command(...command), env, input);
    return { ...result, json: parsed(result.stdout) };
  }
}

const variablesOf = ({ id, netns, ifname = "eth0" }: CniContainer) => ({
  CNI_CONTAINERID: id,
  CNI_NETNS: netns,
  CNI_IFNAME: ifname,
});

function parsed(text: string): CniAnswer {
  try {
    return JSON.parse(text);
  } catch {
    return {} as CniAnswer;
  }
}

const impossible = hostTestsImpossible();

/** A test with a router and a runtime on each host of a lab; skipped with its reason where that is impossible. */
export function runtimeTest(
  name: string,
  hosts: number,
  run: (runtimes: CniRuntime[]) => Promise<void>,
  missing = pluginsMissing,
): void {
  test(name, { skip: impossible ?? missing ?? false, timeout: 180_000 }, () =>
    inLab(hosts, async (lab) => {
      const targets = (index: number) => (index > 0 ? [lab.hosts[0].address] : []);
      await Promise.all(
        lab.hosts.map((host, index) => host.launch("--ipalloc-init", `consensus=${hosts}`, ...targets(index))),
      );
      const runtimes = lab.hosts.map((host) => new CniRuntime(host));
      await Promise.all(runtimes.map((runtime) => runtime.setUp()));
      if (hosts > 1) await connected(lab.hosts[0], hosts - 1);
      await run(runtimes);
    }),
  );
}

/** Addresses of containers that are allocated on a host, by their holders. */
export async function allocated(host: Host): Promise<Map<string, string[]>> {
  const { owned } = JSON.parse((await host.api("GET", "/ip")).body) as {
    owned: { containerid: string; addrs: string[] }[];
  };
  const containers = owned.filter(({ containerid }) => containerid !== "weave:expose");
  return new Map(containers.map(({ containerid, addrs }) => [containerid, addrs]));
}
