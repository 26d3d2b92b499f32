import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { withPassword } from "#cli/launch/password-file.js";
import { lastLaunchText, resumed } from "#cli/launch/resume.js";

const folder = mkdtempSync(join(tmpdir(), "weave-password-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const prefix = `${folder}/db`;
const options = (...args: string[]) => parseLaunch(["--db-prefix", prefix, "--docker-api=", ...args], {}).options;
const file = (name: string, text: string, mode = 0o600): string => {
  writeFileSync(join(folder, name), text, { mode });
  return join(folder, name);
};
/** Reads the password from options. @returns it, and the warnings for the user */
function read(...args: string[]): { password: string | undefined; warnings: string[] } {
  const warnings: string[] = [];
  return { password: withPassword(options(...args), (text) => warnings.push(text)).password, warnings };
}

test("the password is the first line of the file", () => {
  assert.deepEqual(read("--password-file", file("a", "open sesame\nmore\n")), {
    password: "open sesame",
    warnings: [],
  });
  assert.equal(read("--password-file", file("b", "no line break")).password, "no line break");
  assert.equal(read("--password-file", file("c", "of Windows\r\n")).password, "of Windows");
  assert.equal(read("--password-file", file("d", `${"\u{1F511}".repeat(512)}\n`)).password?.length, 1_024);
  assert.equal(read().password, undefined);
});

test("a file without a valid password, and two passwords, are rejected with the reason", () => {
  const refuse = (reason: RegExp, ...args: string[]) => assert.throws(() => read(...args), reason);
  refuse(/cannot read the password file: ENOENT/, "--password-file", join(folder, "none"));
  refuse(/cannot read the password file: EISDIR/, "--password-file", folder);
  refuse(/must have 1 to 1024 characters, and has none/, "--password-file", file("e", "\nsecond\n"));
  refuse(/must have 1 to 1024 characters, and has none/, "--password-file", file("f", ""));
  refuse(/and has more/, "--password-file", file("g", "x".repeat(1_025)));
  refuse(/and has more/, "--password-file", file("h", "x".repeat(100_000)));
  refuse(/there are two passwords/, "--password", "x", "--password-file", file("i", "y"));
});

test("a password file that other users may read causes a warning", () => {
  const { password, warnings } = read("--password-file", file("j", "x", 0o640));
  assert.equal(password, "x");
  assert.match(warnings.join(), /^WARNING: users other than its owner .*\/j; 'chmod 600 .*\/j'/);
});

test("--resume reports exactly the flags of the last launch that it does not restore", () => {
  const after = (last: string[], ...now: string[]) => {
    file("dblaunch.json", lastLaunchText(options(...last)));
    const warnings: string[] = [];
    const result = resumed(options("--resume", ...now), options(), (text) => warnings.push(text));
    return { result, warnings };
  };
  assert.deepEqual(after([], "--mtu", "1400").warnings, []);
  assert.deepEqual(
    after(["--nickname", "h2", "--mtu", "1400", "--no-dns", "--encryption", "off"], "--mtu", "1300").warnings,
    [
      "--resume restores the peers of the last launch, but not its other flags: --nickname h2 --encryption off --no-dns",
    ],
  );
  const read = after(["--password-file", "/etc/secret", "--password", "x"]);
  assert.equal(read.result.passwordFile, "/etc/secret");
  assert.match(read.warnings.join(), /reads the password from \/etc\/secret/);
});

test("--resume never launches a network without its password, and the password is not stored on disk", () => {
  const text = lastLaunchText(options("--password", "open sesame"));
  assert.doesNotMatch(text, /sesame/);
  file("dblaunch.json", text);
  assert.throws(() => resumed(options("--resume"), options(), () => {}), /the last launch had a password/);
  assert.equal(resumed(options("--resume", "--password", "again"), options(), () => {}).password, "again");
});
