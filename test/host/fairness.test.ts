/** A peer that is slow or does not read costs the others nothing. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Lab } from "#test/lab/lab.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { slowLine } from "#test/lab/slow-line.js";
import { transfer } from "#test/lab/transfer.js";
import { connected, until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;
const MB = 1 << 20;
const PINGS = 20;
/**
 * Pings that must be answered. With a queue that all peers share, none is. Not all: where the cores are busy, the flood fills
 * the queue of the sender's TAP device too, which the kernel drops from before the router sees a frame.
 */
const ENOUGH = 16;

test("what one peer cannot take is lost to that peer alone", { skip, timeout: 120_000 }, async (t) => {
  let lab: Lab;
  let containers: Namespace[];
  before(async () => {
    lab = await Lab.create(3);
    for (const host of lab.hosts) await host.launch();
    containers = await Promise.all(lab.hosts.map((host, i) => host.attach("c", `10.32.0.${i + 1}/12`)));
    const [h1, h2, h3] = lab.hosts;
    await h1.ok("connect", h2.address, h3.address);
    await connected(h1, 2);
    for (const address of ["10.32.0.2", "10.32.0.3"])
      await until(`${address} answers`, async () => (await containers[0].ping(address, { count: 1 })) === 1);
  });
  after(() => lab?.dispose());

  const drops = async (): Promise<number> =>
    JSON.parse(await lab.hosts[0].report("{{json .Router.Drops}}"))["send-queue-full"];

  /** Sends to the second container far more than fits the way there, and meanwhile uses the third. */
  const othersWork = async (flooded: () => Promise<boolean>) => {
    const [c1, c2, c3] = containers;
    const sink = c2.spawn(["iperf3", "-s", "-1", "-p", "5201"]);
    await until("the sink listens", async () => (await c2.must("ss", "-ltn")).includes(":5201"));
    const flood = c1.spawn(["iperf3", "-c", "10.32.0.2", "-u", "-b", "400M", "-l", "1300", "-t", "60"]);
    try {
      await until("the flood is on", flooded);
      const answered = await c1.ping("10.32.0.3", { count: PINGS });
      assert.ok(answered >= ENOUGH, `${answered} of ${PINGS} pings are answered`);
      await transfer(c1, c3, "10.32.0.3", 20 * MB);
      await transfer(c3, c1, "10.32.0.1", 20 * MB);
      assert.equal(flood.exitCode, null);
    } finally {
      flood.kill("SIGKILL");
      sink.kill("SIGKILL");
    }
  };

  await t.test("it does not listen", async () => {
    const pid = lab.hosts[1].routerPid!;
    const sent = async () => Number(await lab.hosts[0].report("{{.Router.CaptureStats.datagramsSent}}"));
    const before = await sent();
    try {
      await othersWork(async () => {
        if ((await sent()) - before < 1_000) return false;
        process.kill(pid, "SIGSTOP");
        return true;
      });
    } finally {
      process.kill(pid, "SIGCONT");
    }
  });

  await t.test("its line is slow", async () => {
    const [h1, h2] = lab.hosts;
    await until("it is back", async () => (await containers[0].ping("10.32.0.2", { count: 1 })) === 1);
    // In a queue that is deeper than any buffer.
    await slowLine(h1, h2, { rate: "2mbit", queue: ["pfifo", "limit", "100000"] });
    const before = await drops();
    await othersWork(async () => (await drops()) > before);
    // Slow, and not dead: the proofs of the path get through.
    assert.match(await h1.ok("status", "connections"), new RegExp(`${h2.address}.* sleeve `));
  });
});
