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
/** What is said, and what comes out. */
function read(...args: string[]): { password: string | undefined; said: string[] } {
  const said: string[] = [];
  return { password: withPassword(options(...args), (text) => said.push(text)).password, said };
}

test("the password is the first line of the file", () => {
  assert.deepEqual(read("--password-file", file("a", "open sesame\nmore\n")), { password: "open sesame", said: [] });
  assert.equal(read("--password-file", file("b", "no line break")).password, "no line break");
  assert.equal(read("--password-file", file("c", "of Windows\r\n")).password, "of Windows");
  assert.equal(read("--password-file", file("d", `${"\u{1F511}".repeat(512)}\n`)).password?.length, 1_024);
  assert.equal(read().password, undefined);
});

test("a file without a password, or one too many, is refused with the reason", () => {
  const refuse = (reason: RegExp, ...args: string[]) => assert.throws(() => read(...args), reason);
  refuse(/cannot read the password file: ENOENT/, "--password-file", join(folder, "none"));
  refuse(/cannot read the password file: EISDIR/, "--password-file", folder);
  refuse(/must have 1 to 1024 characters, and has none/, "--password-file", file("e", "\nsecond\n"));
  refuse(/must have 1 to 1024 characters, and has none/, "--password-file", file("f", ""));
  refuse(/and has more/, "--password-file", file("g", "x".repeat(1_025)));
  refuse(/and has more/, "--password-file", file("h", "x".repeat(100_000)));
  refuse(/a password was given twice/, "--password", "x", "--password-file", file("i", "y"));
});

test("a file that others may read is warned of", () => {
  const { password, said } = read("--password-file", file("j", "x", 0o640));
  assert.equal(password, "x");
  assert.match(said.join(), /^WARNING: others .*\/j; 'chmod 600 .*\/j'/);
});

test("--resume names the flags of the last launch that it does not take up, and no others", () => {
  const after = (last: string[], ...now: string[]) => {
    file("dblaunch.json", lastLaunchText(options(...last)));
    const said: string[] = [];
    const result = resumed(options("--resume", ...now), options(), (text) => said.push(text));
    return { result, said };
  };
  assert.deepEqual(after([], "--mtu", "1400").said, []);
  assert.deepEqual(
    after(["--nickname", "h2", "--mtu", "1400", "--no-dns", "--encryption", "off"], "--mtu", "1300").said,
    [
      "--resume takes up the peers of the last launch, and not its other flags: --nickname h2 --encryption off --no-dns",
    ],
  );
  const read = after(["--password-file", "/etc/secret", "--password", "x"]);
  assert.equal(read.result.passwordFile, "/etc/secret");
  assert.match(read.said.join(), /reads the password from \/etc\/secret/);
});

test("--resume never opens a network that had a password, and keeps none on disk", () => {
  const text = lastLaunchText(options("--password", "open sesame"));
  assert.doesNotMatch(text, /sesame/);
  file("dblaunch.json", text);
  assert.throws(() => resumed(options("--resume"), options(), () => {}), /the last launch had a password/);
  assert.equal(resumed(options("--resume", "--password", "again"), options(), () => {}).password, "again");
});
