import assert from "node:assert/strict";
import { test } from "node:test";
import { REDACTED, redactor } from "#cli/bugreport/redaction.js";

const SECRET = 'p"ä ss/wörd+1';

test("a known secret is removed in each encoding", () => {
  const redact = redactor([SECRET, "ab"]);
  const bytes = Buffer.from(SECRET);
  for (const text of [
    SECRET,
    JSON.stringify({ a: SECRET }),
    encodeURIComponent(SECRET),
    new URLSearchParams({ a: SECRET }).toString(),
    bytes.toString("base64"),
    bytes.toString("base64url"),
    bytes.toString("hex"),
  ])
    assert.ok(redact(`x ${text} y`).includes(REDACTED), text);
  // A secret of two letters is in other words, which stay.
  assert.equal(redact("about table"), "about table");
});

test("what looks like a secret is removed", () => {
  const redact = redactor([]);
  for (const text of [
    '{"password":"hunter2"}',
    '{"a":{"dbPassword" : "hunter2"}}',
    '{"line":"{\\"password\\":\\"hunter2\\"}"}',
    "weave launch --password hunter2 host1",
    "weave launch --password=hunter2 host1",
    "WEAVE_PASSWORD=hunter2",
    "WEAVE_PASSWORD='hunter2 hunter2'",
    'export MY_SECRET="hunter2"',
    "api_key: hunter2",
    "Authorization: Bearer hunter2hunter2",
    "authorization: Basic aHVudGVyMjpodW50ZXIy hunter2",
    "cookie: a=hunter2; b=hunter2",
    "http://user:hunter2@example.org/x",
    "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----\nhunter2\nhunter2",
  ])
    assert.doesNotMatch(redact(text), /hunter2/, text);
  // What was JSON still is.
  assert.deepEqual(JSON.parse(redact('{"a":"b","password":"hunter\\"2","c":1}')), { a: "b", password: REDACTED, c: 1 });
});

test("a long line takes no long time", () => {
  const redact = redactor([]);
  for (const part of ["x", "-", "a.", '"', "password", "://", "BEGIN "]) {
    const start = process.cpuUsage();
    redact(part.repeat(1 << 19));
    // A quadratic pattern takes hours.
    assert.ok(process.cpuUsage(start).user < 10e6, part);
  }
});

test("what is no secret stays", () => {
  const redact = redactor([]);
  for (const text of [
    '{"passwordFile":"/etc/weave/password"}',
    "10.32.0.1/12 dev weave",
    "02:00:00:00:00:01(h1)",
    "http://127.0.0.1:6784/status",
    '{"level":"info","msg":"router ready"}',
    "the passwords differ: give all peers the same --password-file",
    "--password-file /etc/weave/password",
  ])
    assert.equal(redact(text), text);
});
