import { setTimeout as sleep } from "node:timers/promises";
import { HostShell, type Outcome } from "#test/lab/docs/host-shell.js";
import { type Block, fileOf, type Scenario } from "#test/lab/docs/page-blocks.js";
import { homeOf, type PageHost, pageLab, writeOn } from "#test/lab/docs/page-hosts.js";
import { isSession, matches, type Step, stepsOf } from "#test/lab/docs/session.js";
import { SystemdHost } from "#test/lab/systemd-host.js";

/**
 * Commands that change nothing. A reader types some seconds after the command before, which is enough for routers to connect and for
 * names to travel; here they are repeated instead, until they show what the page shows.
 */
const REPEATABLE =
  /^(?:weave (?:status|report|ps|dns-lookup|ipam explain)\b|docker (?:run --rm|exec|network ls|ps)\b|ping |curl |ip netns exec )/;
const REPEAT_MS = 20_000;
const PAUSE_MS = 300;

/** Runs the sessions of a scenario, in their order, on hosts of its own. @param path of the page, from the root */
export async function runScenario(path: string, { setup, blocks }: Scenario): Promise<void> {
  const lab = await pageLab(setup!);
  const shells: HostShell[] = [];
  try {
    for (const host of lab.hosts) shells.push(new HostShell(host, homeOf(host)));
    for (const block of blocks) await runBlock(block, lab.hosts, shells, `${path}:${block.line}`);
  } finally {
    for (const shell of shells) shell.end();
    await lab.dispose();
  }
}

async function runBlock(
  { mark, body }: Block,
  hosts: readonly PageHost[],
  shells: HostShell[],
  where: string,
): Promise<void> {
  if (mark?.kind === "file") {
    const { hosts: numbers, path } = fileOf(mark);
    for (const number of numbers) writeOn(hosts[number - 1], path, body);
  }
  if (mark !== undefined || !isSession(body)) return;
  const steps = stepsOf(body);
  for (const [index, step] of steps.entries()) {
    const host = step.host - 1;
    if (step.command === "reboot") shells[host] = await reboot(hosts[host], shells[host]);
    else await runStep(step, shells[host], steps[index + 1]?.command === "echo $?", where);
  }
}

/** @returns the shell of the user who logs in again */
async function reboot(host: PageHost, shell: HostShell): Promise<HostShell> {
  if (!(host instanceof SystemdHost)) throw new Error("only hosts with systemd can boot again");
  shell.end();
  await host.reboot();
  return new HostShell(host, homeOf(host));
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
