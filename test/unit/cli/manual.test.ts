import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { EXIT_STATUSES } from "#cli/manual/facts.js";
import { manPage } from "#cli/manual/manual.js";
import { bold, usage } from "#cli/manual/roff.js";
import { COMMANDS, type CommandRow } from "#cli/support/command-table.js";
import { type Row, typed } from "#cli/support/flag-words.js";
import { ERRORS } from "#src/errors.js";
import { sources } from "#test/lab/docs/sources.js";

/** The source of the man page. How programs show it is in test/packaging/man-page.test.ts. */

const PAGE = manPage();

test("apropos finds the page by its name and description", () => {
  assert.match(PAGE, /^\.SH NAME\nweave \\- \S.*\n\.SH/m);
});

test("every variable that the sources read is in the page", () => {
  const page = PAGE.replaceAll("\\-", "-");
  const found = new Set(
    [...sources].flatMap(([file, text]) =>
      file.startsWith("test/")
        ? []
        : [...text.matchAll(/\benv\??\.(WEAVE_\w+)|"(WEAVE_\w+_DIR)"/g)].map((match) => match[1] ?? match[2]),
    ),
  );
  assert.ok(found.size >= 5, [...found].join(" "));
  assert.deepEqual(
    [...found].filter((name) => !page.includes(name)),
    [],
  );
});

test("every exit status that the sources have is in the page", () => {
  const statuses = EXIT_STATUSES.map(([status]) => status);
  const thrown = [...sources].flatMap(([file, text]) =>
    file.startsWith("cli/") ? [...text.matchAll(/new Exit\((\d+)/g)].map(([, status]) => Number(status)) : [],
  );
  assert.ok(thrown.length > 10);
  for (const status of [...thrown, ...Object.values(ERRORS).map(({ exit }) => exit)])
    assert.ok(statuses.includes(status), String(status));
  for (const status of statuses) assert.match(PAGE, new RegExp(`^\\\\fB${status}\\\\fR$`, "m"));
});

test("every command, and every flag of each, is in the page", () => {
  for (const [name, row] of Object.entries<CommandRow>(COMMANDS)) {
    assert.ok(PAGE.includes(bold(`weave ${name}`).slice(0, -"\\fR".length)), name);
    const flags: readonly Row[] = Object.values(name === "launch" ? ALL_FLAGS : (row.flags ?? {}));
    for (const flag of flags) assert.ok(PAGE.includes(`.TP\n${usage(typed(flag))}\n`), `${name} ${flag.flag}`);
  }
});
