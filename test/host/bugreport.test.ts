import assert from "node:assert/strict";
import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { labTest } from "#test/lab/lab-test.js";

/** Planted in every input; each has its own end, which shows where one was left. */
const PLANT = "Pl4nted-s3cret";

labTest(
  "the archive of bugreport has no secret that is in any of its sources, and all that helps",
  { hosts: 1, timeout: 60_000 },
  async ({ hosts: [h1], folder }) => {
    const before = join(folder, "before.tar.gz");
    await h1.ok("bugreport", before);
    assert.ok(gunzipSync(readFileSync(before)).includes("weave is not running"));

    const password = join(folder, "password");
    writeFileSync(password, `${PLANT} in file\n`);
    await h1.launch("--password-file", password, "--dns-listen-address", "127.0.0.1:5300", "10.99.0.77");
    const token = readFileSync(join(h1.runDir, "control.token"), "utf8").trim();
    // Options of the launch, the log, and names that the firewall and interfaces show.
    const launch = join(h1.runDir, "launch.json");
    const options = JSON.parse(readFileSync(launch, "utf8")) as object;
    writeFileSync(launch, JSON.stringify({ ...options, password: `${PLANT}-launch`, apiToken: `${PLANT}-option` }));
    for (const line of [
      `{"msg":"x","password":"${PLANT}-log"}`,
      `{"msg":"called with --password ${PLANT}-flag"}`,
      `{"msg":"the secret of the file is ${PLANT} in file"}`,
      `{"msg":"${Buffer.from(`${PLANT} in file`).toString("base64")}"}`,
      `{"msg":"Authorization: Bearer ${token}"}`,
      `{"msg":"token seen ${token}"}`,
      `{"msg":"http://user:${PLANT}-url@10.0.0.1/"}`,
    ])
      appendFileSync(h1.logFile, `${line}\n`);
    writeFileSync(`${h1.logFile}.1`, `${"x".repeat(99)}\n`.repeat(20_000));
    await h1.must(
      "nft",
      `add table inet planted; add chain inet planted c; add rule inet planted c accept comment "password=${PLANT}-nft"`,
    );
    await h1.must("ip", "link", "set", h1.device, "alias", `token=${PLANT}-alias`);
    const file = join(folder, "after.tar.gz");
    const env = { WEAVE_PASSWORD: `${PLANT}-variable`, WEAVE_PASSWORD_FILE: password };
    const { stdout, stderr, code } = await h1.weaveWith(env, "bugreport", file);
    assert.deepEqual([code, stdout], [0, `${file}\n`], stderr);
    assert.equal(statSync(file).mode & 0o777, 0o600);

    const text = gunzipSync(readFileSync(file)).toString("latin1");
    for (const secret of [PLANT, token, Buffer.from(`${PLANT} in f`).toString("base64").slice(0, -2)]) {
      const at = text.indexOf(secret);
      assert.equal(at, -1, text.slice(Math.max(0, at - 200), at + 60));
    }
    const listed = (await h1.must("tar", "-tzf", file)).split("\n").map((path) => path.split("/").slice(1).join("/"));
    for (const name of [
      "README.txt",
      "doctor.json",
      "router/status.txt",
      "router/report.json",
      "router/events.json",
      "config/launch.json",
      "log/router.log",
      "network/nft.txt",
      "network/addresses.txt",
      "kernel/version.txt",
      "engine/version.txt",
    ])
      assert.ok(listed.includes(name), `${name} is not in ${listed.join(" ")}`);
    const shown = (name: string) => h1.must("sh", "-c", `tar -xzOf ${file} --wildcards '*/${name}'`);
    assert.match(await shown("router/status.txt"), /Service: router/);
    assert.match(await shown("config/launch.json"), /10\.99\.0\.77/);
    assert.match(await shown("network/nft.txt"), /table inet planted/);
    assert.match(await shown("kernel/version.txt"), /Linux version/);
    assert.ok(JSON.parse(await shown("doctor.json")).Running);
    assert.ok(JSON.parse(await shown("router/events.json")).Events.length > 0);
    // The end of a long log, and the note of what is left out.
    const old = await shown("log/router.log.1");
    assert.ok(old.length <= (1 << 20) + 100 && old.startsWith("["), old.slice(0, 60));

    const again = await h1.weave("bugreport", file);
    assert.deepEqual(
      [again.code, again.stderr],
      [1, `cannot write ${file}: it exists already\nChoose another name.\n`],
    );
  },
);
