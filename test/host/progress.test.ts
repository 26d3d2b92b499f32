import assert from "node:assert/strict";
import { labTest } from "#test/lab/lab-test.js";

const ERASE = "\r\u001B[K";

/** What a command shows on a terminal while it works: script(1) gives it one. */
labTest(
  "a launch shows on a terminal what it does, and leaves nothing of that; elsewhere it shows nothing",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const words = [...h1.weaveCommand, "launch", "--name", h1.peerName, "--nickname", "h1"].join(" ");
    const onTerminal = (more: NodeJS.ProcessEnv) =>
      h1.runWith({ ...h1.environment, ...more }, "script", "-qec", words, "/dev/null");
    const shown = await onTerminal({ TERM: "xterm", NO_COLOR: "" });
    assert.equal(shown.code, 0, shown.stdout);
    assert.match(shown.stdout, /waiting until the router answers \(process \d+\) … \d+ s/);
    // What a terminal shows in the end: of each line what follows the last erasure.
    const left = shown.stdout
      .split("\n")
      .map((line) => line.slice(line.lastIndexOf(ERASE) + 1).replace("\u001B[K", ""));
    assert.match(left.join("\n").replaceAll("\r", ""), /^\d+\n$/);
    await h1.ok("stop");
    const plain = await onTerminal({ TERM: "dumb" });
    assert.match(plain.stdout, /^\d+\r\n$/);
    const { code, stdout, stderr } = await h1.weaveWith({ TERM: "xterm" }, "restart");
    assert.deepEqual([code, stdout, stderr], [0, "", ""]);
  },
);
