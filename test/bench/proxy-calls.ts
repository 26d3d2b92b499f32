/**
 * `npm run bench:proxy`: calls of Docker's API through the proxy and straight to the engine, of every kind that there is:
 * how many fail, and how long they take. `WEAVE_BENCH_CALLS` is the number of each kind.
 */
import { dockerLab, dockerTestsImpossible, networkThere } from "#test/lab/docker-host.js";
import { EngineClient, kindsOfCalls, type RunResult, repeat } from "#test/lab/engine-calls.js";

const CALLS = Number(process.env.WEAVE_BENCH_CALLS ?? 10_000);
/** Both ways take turns, so that a slow moment of the machine hits both alike. */
const TURNS = 10;

const impossible = dockerTestsImpossible();
if (impossible !== undefined) {
  console.error(`not possible here: ${impossible}`);
  process.exit(1);
}
const lab = await dockerLab(1);
try {
  const [host] = lab.hosts;
  await host.launch();
  await networkThere(host);
  await host.type(
    "docker -H unix:///var/run/weave/weave.sock run -d --name calls busybox sh -c 'echo hello; sleep 86400'",
  );
  const straight = new EngineClient(host.path("/run/docker.sock"));
  const proxied = new EngineClient(host.path("/run/weave/weave.sock"));
  console.log(`${"kind".padEnd(42)}   calls  failures  without us   ms each  without us  ratio`);
  for (const { name, call, divisor = 1 } of kindsOfCalls("calls")) {
    const total = {
      proxied: { failures: [] as string[], seconds: 0 },
      straight: { failures: [] as string[], seconds: 0 },
    };
    const add = (to: { failures: string[]; seconds: number }, { failures, seconds }: RunResult) => {
      to.failures.push(...failures);
      to.seconds += seconds;
    };
    const each = Math.ceil(CALLS / divisor / TURNS);
    for (let turn = 0; turn < TURNS; turn++) {
      add(total.straight, await repeat(each, (i) => call(straight, i)));
      add(total.proxied, await repeat(each, (i) => call(proxied, i)));
    }
    const calls = each * TURNS;
    const ms = ({ seconds }: { seconds: number }) => ((seconds * 1_000) / calls).toFixed(2);
    const columns = [
      name.padEnd(42),
      String(calls).padStart(7),
      String(total.proxied.failures.length).padStart(9),
      String(total.straight.failures.length).padStart(11),
      ms(total.proxied).padStart(9),
      ms(total.straight).padStart(11),
      (total.proxied.seconds / total.straight.seconds).toFixed(2).padStart(6),
    ];
    console.log(columns.join(" "));
    for (const failure of new Set([...total.proxied.failures, ...total.straight.failures].slice(0, 3)))
      console.log(`  ${failure}`);
  }
  straight.close();
  proxied.close();
} finally {
  await lab.dispose();
}
