/**
 * `npm run bench:cni [-- --calls 100]`: how long a container runtime waits for ADD and DEL: weave-net with addresses of weave and of
 * host-local, beside the CNI project's bridge plugin with host-local. Calls alternate, so that all rows meet the same load; VERSION is
 * the part of the program itself.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { benchLab, option } from "#test/bench/bench.js";
import { CniRuntime, DEBIAN_PLUGINS, pluginsMissing } from "#test/lab/cni-runtime.js";
import { median } from "#test/lab/measure.js";

/** A network of the comparison, and its plugin. */
interface Row {
  readonly title: string;
  readonly program: string;
  readonly configuration: object;
  readonly add: number[];
  readonly delete: number[];
}

/** Median, 95th percentile and maximum in ms. */
function shown(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const figures = [median(sorted), sorted[Math.floor(sorted.length * 0.95)], sorted.at(-1)!];
  return figures.map((ms) => ms.toFixed(1).padStart(8)).join("");
}

function rows(runtime: CniRuntime): Row[] {
  const base = { cniVersion: "1.0.0" };
  const local = (subnet: string) => ({ type: "host-local", subnet, dataDir: runtime.addresses });
  const weave = join(runtime.plugins, "weave-net");
  const row = (title: string, program: string, configuration: object): Row => ({
    title,
    program,
    configuration: { ...base, ...configuration },
    add: [],
    delete: [],
  });
  return [
    row("weave-net", weave, { name: "w1", type: "weave-net" }),
    row("weave-net with host-local", weave, { name: "w2", type: "weave-net", ipam: local("10.97.0.0/16") }),
    row("bridge with host-local", join(DEBIAN_PLUGINS, "bridge"), {
      name: "b1",
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipam: { ...local("10.98.0.0/16"), routes: [{ dst: "0.0.0.0/0" }] },
    }),
  ];
}

async function main(): Promise<void> {
  if (pluginsMissing !== undefined) throw new Error(`the bench ${pluginsMissing}`);
  const calls = Number(option("--calls") ?? 100);
  await benchLab(1, async ({ hosts: [host] }) => {
    await host.launch("--ipalloc-init", "consensus=1");
    await host.ok("expose");
    const runtime = new CniRuntime(host);
    mkdirSync(runtime.configurations, { recursive: true });
    await runtime.setUp();
    const container = await runtime.container("a");
    const all = rows(runtime);
    const version: number[] = [];
    const timed = (program: string, command: string, configuration: object): number => {
      const env = runtime.environment(command, container);
      const began = performance.now();
      // Not `ip netns exec`, which mounts a /sys each time.
      execFileSync("nsenter", [`--net=/run/netns/${host.ns}`, program], {
        env,
        input: JSON.stringify(configuration),
        stdio: "pipe",
      });
      return performance.now() - began;
    };
    for (let i = 0; i < calls; i++) {
      version.push(timed(all[0].program, "VERSION", {}));
      for (const row of all) {
        row.add.push(timed(row.program, "ADD", row.configuration));
        row.delete.push(timed(row.program, "DEL", row.configuration));
      }
    }
    console.log(`ms, with nsenter (see VERSION): median, 95th percentile and maximum of ${calls} calls`);
    console.log(`${"weave-net VERSION".padEnd(34)}${shown(version)}`);
    for (const { title, add, delete: deletions } of all) {
      console.log(`${`${title} ADD`.padEnd(34)}${shown(add)}`);
      console.log(`${`${title} DEL`.padEnd(34)}${shown(deletions)}`);
    }
  });
}

await main();
