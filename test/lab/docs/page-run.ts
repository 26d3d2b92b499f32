import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DockerHost, dockerLab, makeImage } from "#test/lab/docker-host.js";
import { HostShell, type Outcome } from "#test/lab/docs/host-shell.js";
import { type Block, blocksOf, fileOf, type PageSetup, setupOf } from "#test/lab/docs/page-blocks.js";
import { page } from "#test/lab/docs/pages.js";
import { isSession, matches, type Step, stepsOf } from "#test/lab/docs/session.js";
import { Lab } from "#test/lab/lab.js";

/**
 * Commands that change nothing. A reader types some seconds after the command before, which is enough for routers to connect and for
 * names to travel; here they are repeated instead, until they show what the page shows.
 */
const REPEATABLE =
  /^(?:weave (?:status|report|ps|dns-lookup|ipam explain)\b|docker (?:run --rm|exec|network ls|ps)\b|ping |curl |ip netns exec )/;
const REPEAT_MS = 20_000;
const PAUSE_MS = 300;

/** Runs all sessions of a page, in their order, on hosts of its own. @param path of the page, from the root */
export async function runPage(path: string): Promise<void> {
  const text = page(path);
  const setup = setupOf(text);
  if (setup === undefined) throw new Error(`${path} does not state where it is tested`);
  const lab = await labFor(setup);
  const shells: HostShell[] = [];
  try {
    for (const host of lab.hosts) shells.push(new HostShell(host, homeOf(host)));
    for (const block of blocksOf(text)) await runBlock(block, lab.hosts, shells, `${path}:${block.line}`);
  } finally {
    for (const shell of shells) shell.end();
    await lab.dispose();
  }
}

const homeOf = (host: DockerHost) => join(host.folder, "home");

async function labFor(setup: PageSetup): Promise<Lab<DockerHost>> {
  const lab = setup.docker
    ? await dockerLab(setup.hosts)
    : await Lab.createWith(setup.hosts, (options) => new DockerHost(options));
  try {
    for (const [index, host] of lab.hosts.entries()) {
      if (!setup.docker) await host.begin();
      mkdirSync(homeOf(host));
      await host.must("hostname", `host${index + 1}`);
      const names = lab.hosts.map(({ address }, i) => `${address} host${i + 1}\n`);
      appendFileSync(host.path("/etc/hosts"), names.join(""));
      for (const image of setup.images) await addImage(host, image, lab.folder);
    }
    return lab;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/** Images that pages name: nginx serves a page at port 80 as the real one does, all others start a shell. */
async function addImage(host: DockerHost, image: string, folder: string): Promise<void> {
  if (!image.startsWith("nginx")) return void (await host.docker("tag", "busybox", image));
  const place = "usr/share/nginx/html";
  const server = join(folder, "server");
  mkdirSync(join(server, "root", place), { recursive: true });
  writeFileSync(join(server, "root", place, "index.html"), "Welcome to nginx!\n");
  const archive = await makeImage(server);
  // The first process of a container ignores TERM unless it handles it.
  const serve = `trap 'exit 0' TERM; httpd -f -p 80 -h /${place} & wait`;
  const command = JSON.stringify(["sh", "-c", serve]);
  await host.docker("import", "-c", `CMD ${command}`, "-c", "EXPOSE 80", archive, image);
}

async function runBlock(
  block: Block,
  hosts: readonly DockerHost[],
  shells: readonly HostShell[],
  where: string,
): Promise<void> {
  if (block.mark?.kind === "file") {
    const { hosts: numbers, path } = fileOf(block.mark);
    for (const number of numbers) writeOn(hosts[number - 1], path, block.body);
  }
  if (block.mark !== undefined || !isSession(block.body)) return;
  const steps = stepsOf(block.body);
  for (const [index, step] of steps.entries()) {
    const status = steps[index + 1]?.command === "echo $?";
    await runStep(step, shells[step.host - 1], status, where);
  }
}

function writeOn(host: DockerHost, path: string, content: string): void {
  const file = path.startsWith("/") ? host.path(path) : join(homeOf(host), path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** @param mayFail whether the page shows the exit status of the command */
async function runStep(step: Step, shell: HostShell, mayFail: boolean, where: string): Promise<void> {
  const deadline = Date.now() + REPEAT_MS;
  for (;;) {
    const outcome = await shell.run(step.command);
    const fault = faultOf(step, outcome, mayFail);
    if (fault === undefined) return;
    if (!REPEATABLE.test(step.command) || Date.now() > deadline)
      throw new Error(`${where}: host${step.host}# ${step.command}\n${fault}:\n${outcome.output}`);
    await sleep(PAUSE_MS);
  }
}

function faultOf(step: Step, { status, output }: Outcome, mayFail: boolean): string | undefined {
  if (status !== 0 && !mayFail && step.command !== "echo $?") return `ended with ${status}`;
  if (step.shown.length > 0 && !matches(step.shown, output)) return `should show\n${step.shown.join("\n")}\nbut showed`;
  return undefined;
}
