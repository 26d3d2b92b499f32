import assert from "node:assert/strict";
import { test } from "node:test";
import { fileOf, scenariosOf } from "#test/lab/docs/page-blocks.js";
import { allPages, page } from "#test/lab/docs/pages.js";
import { isSession, matches, stepsOf } from "#test/lab/docs/session.js";

/** Each block of each page is run, or its page states why not. */

const scenarios = allPages().flatMap((path) => scenariosOf(page(path)).map((scenario) => ({ path, ...scenario })));

/** Blocks with such a label are compared by a test of their own. */
const CHECKED_BY_LABEL: Readonly<Record<string, RegExp>> = { "docs/protocol.md": /^(?:hex|json) / };

test("each block of each page is a session that is run, or has a mark with a reason", (t) => {
  const faults: string[] = [];
  for (const { path, setup, blocks } of scenarios)
    for (const { line, label, body, mark } of blocks) {
      const where = `${path}:${line}`;
      if (mark?.kind === "not run") t.diagnostic(`${where} is not run: ${mark.text}`);
      const same = mark?.kind === "file" ? fileOf(mark).same : undefined;
      if (same !== undefined) assert.equal(body, page(same), `${where} and ${same}`);
      if (mark !== undefined || CHECKED_BY_LABEL[path]?.test(label)) continue;
      if (!isSession(body))
        faults.push(`${where}: no prompt, and no "<!-- shown: … -->" or "<!-- file: … -->" before it`);
      else if (setup === undefined)
        faults.push(`${where}: no "<!-- tested: … -->" above, and no "<!-- not run: … -->" before it`);
    }
  assert.deepEqual(faults, []);
});

test("sessions of the pages name hosts that they have", () => {
  for (const { path, line, setup, blocks } of scenarios) {
    if (setup === undefined) continue;
    const numbers = blocks.flatMap(({ body, mark }) => {
      if (mark?.kind === "file") return fileOf(mark).hosts;
      return mark === undefined && isSession(body) ? stepsOf(body).map(({ host }) => host) : [];
    });
    const where = `${path}:${line}`;
    assert.deepEqual(
      numbers.filter((number) => number < 1 || number > setup.hosts),
      [],
      where,
    );
    assert.ok(numbers.length > 0, `${where} has no session`);
  }
});

test("a page's comments: where sessions are tested, marks of blocks", () => {
  const setups = (text: string) => scenariosOf(text).map(({ line, setup }) => ({ line, ...setup }));
  assert.deepEqual(
    setups(
      "# T\n\n<!-- tested: 2 hosts with Docker; images: alpine, nginx:1 -->\n\n<!-- tested: 1 host with a release and systemd; slow -->\n",
    ),
    [
      { line: 0 },
      { line: 3, hosts: 2, features: ["Docker"], images: ["alpine", "nginx:1"], slow: false },
      { line: 5, hosts: 1, features: ["a release", "systemd"], images: [], slow: true },
    ],
  );
  assert.throws(() => setups("<!-- tested: on two hosts -->"), /no such form/);
  const marked = "<!-- not run: it needs a cloud -->\n\n```\n# x\n```\n\n```yaml\na: b\n```\n";
  assert.deepEqual(
    scenariosOf(marked).flatMap(({ blocks }) => blocks.map(({ line, label, mark }) => [line, label, mark?.text])),
    [
      [3, "", "it needs a cloud"],
      [7, "yaml", undefined],
    ],
  );
  assert.throws(() => scenariosOf("```\nnever ends\n"), /line 1/);
  assert.deepEqual(fileOf({ kind: "file", text: "host1 host2 /etc/x" }), {
    hosts: [1, 2],
    path: "/etc/x",
    same: undefined,
  });
  assert.equal(fileOf({ kind: "file", text: "host1 x = examples/x" }).same, "examples/x");
  assert.throws(() => fileOf({ kind: "file", text: "/etc/x" }), /file: host1/);
});

test("a session: prompts, continued lines, here-documents, shown output", () => {
  assert.deepEqual(stepsOf("host1# a \\\n  b\nout\n\nhost2$ c <<'END'\nx\nEND\n# shown\n"), [
    { host: 1, command: "a \\\n  b", shown: ["out"] },
    { host: 2, command: "c <<'END'\nx\nEND", shown: ["# shown"] },
  ]);
  assert.deepEqual(stepsOf("$ a\n# b\n"), [
    { host: 1, command: "a", shown: [] },
    { host: 1, command: "b", shown: [] },
  ]);
  assert.throws(() => stepsOf("out\n$ a\n"), /no prompt/);
  assert.ok(!isSession("a: b\n"));
});

test("shown output: … within a line and for lines, columns of any width", () => {
  assert.ok(matches(["a … c", "…", "z"], "a  b   c\nx\ny\nz\n"));
  assert.ok(matches(["…", "z"], "z\n"));
  assert.ok(matches(["1.0 (x)"], "\n1.0 (x)\n"));
  assert.ok(!matches(["a"], "a\nb\n"));
  assert.ok(!matches(["1.0"], "100\n"));
  assert.ok(!matches(["a", "b"], "a\n"));
});
