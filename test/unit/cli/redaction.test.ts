import assert from "node:assert/strict";
import { test } from "node:test";
import { REDACTED, redactor, SECRET_PLACES } from "#cli/bugreport/redaction.js";
import { secretsOf } from "#cli/bugreport/secrets.js";
import { withoutAddresses, withoutKeys } from "#cli/bugreport/sources.js";

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

test("values are removed to their end: with commas, spaces, quotes, escapes, and the last @ of an address", () => {
  const redact = redactor([]);
  for (const [text, expected] of [
    ["WEAVE_PASSWORD=abc,defghijk;more", "WEAVE_PASSWORD=[removed]"],
    ["a=1\nWEAVE_PASSWORD=two words here\nb=2", "a=1\nWEAVE_PASSWORD=[removed]\nb=2"],
    ["#  WEAVE_PASSWORD=two words here", "#  WEAVE_PASSWORD=[removed]"],
    ["WEAVE_PASSWORD=two \\\nlines here\nb=2", "WEAVE_PASSWORD=[removed]\nb=2"],
    ["WEAVE_PASSWORD=\nWEAVE_PORT=1", "WEAVE_PASSWORD=\nWEAVE_PORT=1"],
    ["launch --password a,bcdefgh host", "launch --password [removed] host"],
    ['launch --password "a\\"bcdefgh" host', "launch --password [removed] host"],
    ["launch --password 'it'\\''s-secret' host", "launch --password [removed] host"],
    ["launch --password two\\ words host", "launch --password [removed] host"],
    ['launch --password "not closed', "launch --password [removed]"],
    ['WEAVE_ARGS="--password secret-a host"', 'WEAVE_ARGS="--password [removed] host"'],
    ["http://user:pa@ss@proxy:3128/x", "http://[removed]proxy:3128/x"],
    ["http://user:pa/ss@proxy/x", "http://[removed]proxy/x"],
    ['Environment="WEAVE_PASSWORD=two words"', 'Environment="WEAVE_PASSWORD=[removed]"'],
    ["docker run -e 'WEAVE_PASSWORD=two words' x", "docker run -e 'WEAVE_PASSWORD=[removed]' x"],
    ['{"Env":["WEAVE_PASSWORD=two words","A=b"]}', '{"Env":["WEAVE_PASSWORD=[removed]","A=b"]}'],
    ['{"Args":["--password","two words","h2"]}', '{"Args":["--password","[removed]","h2"]}'],
    ['{"cmd":"launch --password two","a":"b"}', '{"cmd":"launch --password [removed]","a":"b"}'],
    ['{"cmd":"launch --password \\"two words\\" h","a":1}', '{"cmd":"launch --password [removed] h","a":1}'],
    ['{"x":"{\\"password\\":\\"a\\\\\\"bcdef\\",\\"b\\":1}"}', '{"x":"{\\"password\\":\\"[removed]\\",\\"b\\":1}"}'],
  ])
    assert.equal(redact(text), expected);
});

test("passwords in the variables of the unit are known, in each way to write them", () => {
  const text = [
    "WEAVE_PASSWORD='it is #1'",
    '#WEAVE_PASSWORD="old \\"one\\""',
    "WEAVE_PASSWORD_FILE=/etc/weave/a",
    "WEAVE_ARGS=--password pass,word1 --password-file=/etc/weave/b host1",
    'WEAVE_ARGS="-password=pass,word2 host1"',
    "WEAVE_ARGS=--name x --password 'two words' \\",
    "host1",
    "WEAVE_PORT=6783",
  ].join("\n");
  const { passwords, files } = secretsOf(text);
  for (const password of ["it is #1", 'old "one"', "pass,word1", "pass,word2", "two words"])
    assert.ok(passwords.includes(password), password);
  assert.deepEqual([...new Set(files)], ["/etc/weave/a", "/etc/weave/b"]);
  assert.ok(!passwords.some((password) => password.includes("6783")), String(passwords));
});

test("keys among the parameters of the kernel, and addresses of its modules, are left out", () => {
  assert.equal(
    withoutKeys("net.ipv4.tcp_fastopen = 1\nnet.ipv4.tcp_fastopen_key = 1-2-3-4\nnet.ipv4.tcp_ecn = 2\n"),
    "net.ipv4.tcp_fastopen = 1\nnet.ipv4.tcp_ecn = 2\n",
  );
  assert.equal(
    withoutAddresses(
      "vxlan 155648 0 - Live 0xffffffffc0a3b000 (OE)\nudp_tunnel 32768 1 vxlan, Live 0xffffffffc09f0000\n",
    ),
    "vxlan 155648 0 - Live (OE)\nudp_tunnel 32768 1 vxlan, Live\n",
  );
});

test("what is looked for in a line of megabytes repeats nothing without a limit", () => {
  for (const { before } of SECRET_PLACES) {
    const bare = before.source.replaceAll(/\\./g, "x").replaceAll(/\[[^\]]*\]/g, "x");
    assert.doesNotMatch(bare, /[*+]|\{\d+,\}/, before.source);
    // No repetition within a repetition: the limits would multiply.
    assert.doesNotMatch(bare, /\)[{*+]/, before.source);
  }
});

test("the end of a secret is found with a number of steps that grows as the text", () => {
  const steps = (length: number, part: string, place: (typeof SECRET_PLACES)[number]): number => {
    const text = part.repeat(length);
    let count = 0;
    // Each access to a character, and each search by the length of what it can look at.
    const counted = new Proxy(new String(text), {
      get: (target, key) => {
        count++;
        const value = Reflect.get(target, key);
        if (key === "indexOf")
          return (what: string, from: number) => {
            const found = text.indexOf(what, from);
            count += (found === -1 ? text.length : found) - from;
            return found;
          };
        return typeof value === "function" ? value.bind(text) : value;
      },
    }) as unknown as string;
    // As redaction goes on: each time from the end of the last secret.
    for (let at = 0; at < text.length; at++) {
      const end = place.end(counted, at);
      if (end > at) at = end;
    }
    return count;
  };
  for (const place of SECRET_PLACES)
    for (const part of ["x", "-", '"', "'", "\\", '\\"', "\\\\", "@", "a@", ":", "\n", "\\\n", " "]) {
      const [short, long] = [steps(500, part, place), steps(2_000, part, place)];
      assert.ok(long <= 5 * short + 100, `${place.before.source} ${JSON.stringify(part)}: ${short} then ${long} steps`);
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
