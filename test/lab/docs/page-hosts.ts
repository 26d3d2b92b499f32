import { appendFileSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DockerHost, makeImage } from "#test/lab/docker-host.js";
import type { PageSetup } from "#test/lab/docs/page-blocks.js";
import { pageRelease } from "#test/lab/docs/page-release.js";
import type { HostOptions } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { PodmanHost } from "#test/lab/podman-host.js";
import { makeSystemdRoot, SystemdHost } from "#test/lab/systemd-host.js";

export type PageHost = DockerHost | SystemdHost;

/** The folder of the user who is logged in, as the host finds it. */
export const homeOf = (host: PageHost): string => (host instanceof SystemdHost ? "/root" : join(host.folder, "home"));

/** Makes the hosts that a page states: host1, host2 …, which find each other by these names. */
export async function pageLab(setup: PageSetup): Promise<Lab<PageHost>> {
  const releases = await releasesOf(setup);
  if (setup.features.includes("systemd")) await makeSystemdRoot();
  const make = (options: HostOptions): PageHost => {
    if (setup.features.includes("systemd")) return new SystemdHost(options);
    if (setup.features.includes("Podman")) return new PodmanHost(options);
    return releases.size > 0 ? new NewHost(options) : new DockerHost(options);
  };
  const lab = await Lab.createWith(setup.hosts, make);
  try {
    for (const [index, host] of lab.hosts.entries()) {
      if (host instanceof SystemdHost) await host.boot();
      else await host.begin();
      const home = host.path(homeOf(host));
      mkdirSync(home, { recursive: true });
      for (const [name, release] of releases) cpSync(release, join(home, name), { recursive: true });
      await host.must("hostname", `host${index + 1}`);
      const names = lab.hosts.map(({ address }, i) => `${address} host${i + 1}\n`);
      appendFileSync(host.path("/etc/hosts"), names.join(""));
    }
    if (setup.features.includes("Docker") || setup.features.includes("Podman")) await startEngines(lab, setup.images);
    return lab;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/** The folders of releases that the hosts have, by their names there. */
async function releasesOf({ features }: PageSetup): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const two = features.includes("two releases");
  if (two || features.includes("a release"))
    found.set("release", await pageRelease("this", features.includes("Docker")));
  if (two) found.set("next", await pageRelease("next"));
  return found;
}

/** A host without weave, on which programs can be installed: what it writes to /usr is its own, too. */
class NewHost extends DockerHost {
  override readonly environment = { PATH: process.env.PATH! };

  override async begin(): Promise<void> {
    await super.begin();
    const layer = join(this.folder, "usr");
    const options = `lowerdir=/usr,upperdir=${layer}/upper,workdir=${layer}/work`;
    mkdirSync(layer);
    const steps = [
      // In memory: an overlay cannot be written to another overlay.
      `mount -t tmpfs tmpfs ${layer}`,
      `mkdir ${layer}/upper ${layer}/work`,
      `mount -t overlay overlay -o ${options} /usr`,
      // Debian's way to forbid restarts (invoke-rc.d(8)), which machines for tests have.
      "rm -rf /etc/weave /usr/sbin/policy-rc.d",
    ];
    await this.must("sh", "-c", steps.join(" && "));
  }
}

async function startEngines(lab: Lab<PageHost>, images: readonly string[]): Promise<void> {
  const plain = await makeImage(join(lab.folder, "plain"));
  const server = images.some(isServer) ? await serverImage(join(lab.folder, "server")) : plain;
  for (const host of lab.hosts) {
    if (host instanceof SystemdHost) throw new Error("hosts with systemd have no engine");
    await host.startEngine();
    await host.loadImage(plain);
    for (const image of images) {
      if (isServer(image)) await host.docker("import", "-c", `CMD ${SERVE}`, "-c", "EXPOSE 80", server, image);
      else await host.docker("tag", "busybox", image);
    }
  }
}

/** nginx serves a page at port 80 as the real one does; all other images start a shell. */
const isServer = (image: string): boolean => image.startsWith("nginx");

const HTML = "usr/share/nginx/html";
/** The first process of a container ignores TERM unless it handles it. */
const SERVE = JSON.stringify(["sh", "-c", `trap 'exit 0' TERM; httpd -f -p 80 -h /${HTML} & wait`]);

async function serverImage(folder: string): Promise<string> {
  mkdirSync(join(folder, "root", HTML), { recursive: true });
  writeFileSync(join(folder, "root", HTML, "index.html"), "Welcome to nginx!\n");
  return makeImage(folder);
}

/** Writes a file on a host. @param path absolute, or from the user's folder */
export function writeOn(host: PageHost, path: string, content: string): void {
  const file = host.path(path.startsWith("/") ? path : join(homeOf(host), path));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}
