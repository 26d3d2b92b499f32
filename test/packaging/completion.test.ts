import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { completionFor } from "#cli/completion/scripts.js";
import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { COMMANDS, type CommandRow, SHELLS, type Shell } from "#cli/support/command-table.js";
import { type Flag, flagText } from "#src/flag.js";
import { COMPINIT, completions } from "#test/lab/completing-shell.js";
import { WEAVE } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { programMissing } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

/** `weave completion`, by the real shells: all that a user can complete there. */

const SKIP: Readonly<Record<Shell, string | undefined>> = {
  bash: programMissing("script", "bsdutils"),
  zsh: programMissing("zsh", "zsh") ?? programMissing("script", "bsdutils"),
  fish: programMissing("fish", "fish"),
};

const commands = Object.entries<CommandRow>(COMMANDS);
const flagsOf = (name: string, { flags = {} }: CommandRow): string[] =>
  (Object.values(name === "launch" ? ALL_FLAGS : flags) as Flag<unknown>[]).map(flagText);

for (const shell of SHELLS) {
  const skip = SKIP[shell] ?? false;

  test(`${shell}: every command, and every flag of each, is offered`, { skip }, async () => {
    const lines = ["weave ", "weave help ", ...commands.map(([name]) => `weave ${name} -`)];
    const [first, help, ...flags] = await completions(shell, lines);
    const names = commands.map(([name]) => name).sort();
    assert.deepEqual([...first].sort(), names);
    assert.deepEqual([...help].sort(), names);
    for (const [at, [name, row]] of commands.entries()) {
      const forgotten = flagsOf(name, row).filter((flag) => !flags[at].includes(flag));
      assert.deepEqual(forgotten, [], `weave ${name}`);
      if (name !== "help") assert.ok(flags[at].includes("--help"), `weave ${name} --help`);
    }
  });

  test(`${shell}: values, sections and sub-commands are offered where they belong`, { skip }, async () => {
    const table: readonly (readonly [line: string, offered: readonly string[]])[] = [
      ["weave st", ["status", "stop"]],
      ["weave status ", ["connections", "dns", "ipam", "peers", "targets"]],
      ["weave --local status p", ["peers"]],
      ["weave ipam ", ["explain"]],
      ["weave completion ", ["bash", "fish", "zsh"]],
      ["weave launch --encryption ", ["off", "on"]],
      ["weave launch --log-level ", ["debug", "error", "info", "warning"]],
      ["weave launch --port 1 10.0.0.1 --log-level ", ["debug", "error", "info", "warning"]],
      ["weave launch --offloads-off tso,u", ["tso,udp-gro", "tso,udp-segment", "tso,uso"]],
      ["weave launch --password-file /etc/passw", ["/etc/passwd"]],
      ["weave launch --password-file=/etc/passw", ["--password-file=/etc/passwd"]],
      ["weave launch --log-level=d", ["--log-level=debug"]],
      ["weave connect --re", ["--replace"]],
      ["weave prime --timeout ", []],
    ];
    const found = await completions(
      shell,
      table.map(([line]) => line),
    );
    // Hosts keep an older copy of the file beside it.
    const shown = found.map((words) => words.filter((word) => !word.endsWith("passwd-")).sort());
    assert.deepEqual(
      table.map(([line], at) => [line, shown[at]]),
      table,
    );
  });
}

/** A folder with programs, as the only one of the path that has these. @param programs shell code by name */
function folderOf(programs: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "weave-programs-"));
  for (const [name, code] of Object.entries(programs))
    writeFileSync(join(folder, name), `#!/bin/sh\n${code}\n`, { mode: 0o755 });
  return folder;
}

const present = SHELLS.filter((shell) => SKIP[shell] === undefined);

test("programs that do not answer are left after a second, silently", async () => {
  const folder = folderOf({ docker: "exec sleep 100000", weave: "echo broken >&2; exec sleep 100000" });
  try {
    const env = { PATH: `${folder}:${process.env.PATH}` };
    const lines = ["weave ps no-such-name", "weave rmpeer no-such-name", "weave forget no-such-name"];
    const found = await Promise.all(present.map((shell) => completions(shell, lines, { env })));
    for (const offered of found) assert.deepEqual(offered, [[], [], []]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** A nickname is another host's text: here one that a shell would run. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own syntax
const HOSTILE = "$(touch${IFS}ran);`touch${IFS}ran`&'x\"y z";

labTest(
  "peers and names of the running router are offered, and are not run",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [host], folder }) => {
    await host.ok("launch", "--name", host.peerName, "--nickname", HOSTILE);
    await host.ok("dns-add", "10.32.0.9", "-h", "printer");
    symlinkSync(WEAVE, join(folder, "weave"));
    const options = {
      env: { ...host.environment, PATH: `${folder}:${process.env.PATH}` },
      inside: (...command: string[]) => host.command(...command),
    };
    for (const shell of present) {
      let found: string[][] = [];
      // On a busy machine the router's answer may take longer than the shell waits.
      await until(`${shell}: the names of the router are offered`, async () => {
        found = await completions(shell, ["weave rmpeer ", "weave dns-lookup p"], options);
        return found.every((words) => words.length > 0);
      });
      assert.deepEqual(found, [[HOSTILE], ["printer.weave.local."]], shell);
    }
    assert.ok(!existsSync("ran"));
  },
);

const BASH_COMPLETION = "/usr/share/bash-completion/bash_completion";

test("bash: the package bash-completion finds the script by the command's name", {
  skip: SKIP.bash ?? (existsSync(BASH_COMPLETION) ? false : "needs the package bash-completion"),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-data-"));
  try {
    mkdirSync(join(folder, "bash-completion/completions"), { recursive: true });
    writeFileSync(join(folder, "bash-completion/completions/weave"), completionFor("bash"));
    const [words] = await completions("bash", ["weave status ipa"], {
      env: { XDG_DATA_HOME: folder },
      load: `source ${BASH_COMPLETION}`,
    });
    assert.deepEqual(words, ["ipam"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("zsh: compinit finds the script in a folder of fpath", { skip: SKIP.zsh ?? false }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-fpath-"));
  try {
    writeFileSync(join(folder, "_weave"), completionFor("zsh"));
    const [words] = await completions("zsh", ["weave status ipa"], {
      load: `fpath=(${folder} $fpath); ${COMPINIT}`,
    });
    assert.deepEqual(words, ["ipam"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("an unknown shell is rejected, with those that have a completion", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [WEAVE, "completion", "fsh"], { encoding: "utf8" });
  assert.deepEqual([status, stdout], [1, ""]);
  assert.match(
    stderr,
    /^no completion for fsh: the shells are bash, zsh, fish; did you mean zsh\?\n\nUsage: weave completion/,
  );
});
