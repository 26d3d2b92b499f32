import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCniCall } from "#router/cni/cni-call.js";
import { aliasesOf, parseCniConfiguration, parseCniJson } from "#router/cni/cni-configuration.js";
import { CniError } from "#router/cni/cni-error.js";
import { parseCniRequest } from "#router/cni/cni-request.js";
import { WeaveError } from "#src/errors.js";

/** Checks that a call fails with a code of the specification, and that the message matches. */
function failsWith(number: number, message: RegExp, call: () => unknown): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(error instanceof CniError, String(error));
    assert.equal(error.number, number, error.message);
    assert.match(error.message, message);
    return true;
  });
}

const VARIABLES = "CNI_COMMAND=ADD\0CNI_ARGS=a=b;c=d=e\0CNI_IFNAME=\0\0";

test("a request has variables, standard input, and the outcomes of delegated plugins", () => {
  assert.deepEqual(parseCniRequest(Buffer.from(`${VARIABLES}{"a":1}`)), {
    environment: Object.assign(Object.create(null), { CNI_COMMAND: "ADD", CNI_ARGS: "a=b;c=d=e", CNI_IFNAME: "" }),
    stdin: '{"a":1}',
    delegates: [],
  });
  const twice = parseCniRequest(Buffer.from(`${VARIABLES}{}\x000\0{"ips":[]}\x001\0`));
  assert.deepEqual(twice.delegates, [
    { status: 0, stdout: '{"ips":[]}' },
    { status: 1, stdout: "" },
  ]);
  assert.equal(parseCniRequest(Buffer.from("\0")).stdin, "");
});

test("a malformed request is an error of decoding", () => {
  const cases: [string, RegExp][] = [
    ["", /no end/],
    ["CNI_COMMAND=ADD", /no end/],
    ["PATH=/bin\0\0", /"PATH=\/bin" is no CNI variable/],
    ["CNI_COMMAND\0\0", /is no CNI variable/],
    [`${VARIABLES}{}\x000`, /has no output/],
    [`${VARIABLES}{}\0-1\0{}`, /no number/],
    [`${VARIABLES}{}\x001234\0{}`, /no number/],
    [`${Array.from({ length: 65 }, (_, index) => `CNI_A=${index}`).join("\0")}\0\0`, /more than 64/],
  ];
  for (const [body, message] of cases) failsWith(6, message, () => parseCniRequest(Buffer.from(body)));
  failsWith(6, /longer/, () => parseCniRequest(Buffer.alloc((1 << 20) + 1, "a")));
});

const ADD = { CNI_COMMAND: "ADD", CNI_CONTAINERID: "abc", CNI_NETNS: "/run/netns/x", CNI_IFNAME: "eth0" };

test("each command needs its variables, and an error names the missing ones", () => {
  assert.equal(parseCniCall(ADD).container, "abc");
  failsWith(4, /ADD needs CNI_CONTAINERID and CNI_NETNS/, () =>
    parseCniCall({ CNI_COMMAND: "ADD", CNI_IFNAME: "eth0" }),
  );
  failsWith(4, /CHECK needs CNI_NETNS/, () => parseCniCall({ ...ADD, CNI_COMMAND: "CHECK", CNI_NETNS: "" }));
  // The namespace may have ended before DEL.
  assert.equal(parseCniCall({ ...ADD, CNI_COMMAND: "DEL", CNI_NETNS: "" }).netns, "");
  for (const command of ["GC", "STATUS", "VERSION"])
    assert.equal(parseCniCall({ CNI_COMMAND: command }).command, command);
  for (const command of ["", "add", "UPDATE"])
    failsWith(4, /invalid CNI_COMMAND/, () => parseCniCall({ CNI_COMMAND: command }));
});

test("variables that the kernel or a command would misread are rejected", () => {
  for (const [name, values] of Object.entries({
    CNI_CONTAINERID: ["-a", "a b", "a/b", "a:b", "a".repeat(129), "ä"],
    CNI_IFNAME: ["eth 0", "a/b", "-x", ".", "..", "a:b", "a".repeat(16), "$(id)", "a;b", 'a"b', "a#"],
    CNI_NETNS: ["netns", 'a"', '/a"b', "/a#b", "/a\\b", "/a\nb", `/${"a".repeat(4_096)}`],
    CNI_ARGS: ["a", "=b", "a=b;c", "a".repeat(16_385)],
  }))
    for (const value of values)
      failsWith(4, new RegExp(`invalid ${name}`), () => parseCniCall({ ...ADD, [name]: value }));
  assert.equal(parseCniCall({ ...ADD, CNI_IFNAME: "eth0.100" }).ifname, "eth0.100");
});

test("arguments of the runtime are pairs; unknown ones are kept", () => {
  const { args } = parseCniCall({ ...ADD, CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=a;ip=10.32.0.9;;X=a=b" });
  assert.deepEqual(
    [...args],
    [
      ["IGNOREUNKNOWN", "1"],
      ["K8S_POD_NAME", "a"],
      ["IP", "10.32.0.9"],
      ["X", "a=b"],
    ],
  );
});

const configuration = (fields: object) => parseCniConfiguration({ cniVersion: "1.1.0", name: "weave", ...fields });

test("unknown fields of a configuration are ignored, and missing ones have the oldest version", () => {
  const parsed = configuration({
    type: "weave-net",
    capabilities: { portMappings: true },
    other: [1],
    ipam: null,
    mtu: null,
  });
  assert.deepEqual([parsed.version, parsed.network, parsed.delegate, parsed.ipam], ["1.1.0", "weave", undefined, {}]);
  assert.equal(parseCniConfiguration({ name: "weave" }).version, "0.1.0");
  assert.equal(configuration({ ipam: { type: "weave-ipam" } }).delegate, undefined);
  assert.equal(
    configuration({ ipam: { type: "host-local", ranges: [[{ subnet: "10.1.0.0/16" }]] } }).delegate,
    "host-local",
  );
});

test("an invalid configuration is rejected with the code of the specification", () => {
  failsWith(6, /no JSON/, () => parseCniJson(""));
  for (const json of ["1", "null", "[]", '"x"']) failsWith(6, /no JSON object/, () => parseCniJson(json));
  for (const cniVersion of ["0.5.0", "2.0.0", 1, {}])
    failsWith(1, /not supported/, () => configuration({ cniVersion }));
  const cases: [object, RegExp][] = [
    [{ name: undefined }, /name/],
    [{ name: "" }, /name/],
    [{ name: "a:b" }, /name/],
    [{ name: "a".repeat(81) }, /name/],
    [{ name: 7 }, /name/],
    [{ mtu: -1 }, /"mtu"/],
    [{ mtu: 1.5 }, /"mtu"/],
    [{ bridge: 1 }, /"bridge"/],
    [{ ipam: "weave-ipam" }, /"ipam"/],
    [{ ipam: { type: "../x" } }, /ipam\.type/],
    [{ ipam: { type: "a/b" } }, /ipam\.type/],
    [{ ipam: { routes: [{ gw: "1.2.3.4" }] } }, /ipam\.routes\.0\.dst/],
    [{ runtimeConfig: { ips: "10.0.0.1" } }, /runtimeConfig\.ips/],
    [{ runtimeConfig: { ips: Array(65).fill("10.0.0.1") } }, /runtimeConfig\.ips/],
    [{ "cni.dev/valid-attachments": [{ containerID: "a" }] }, /valid-attachments/],
  ];
  for (const [fields, message] of cases) failsWith(7, message, () => configuration(fields));
  failsWith(6, /"prevResult" is no CNI result/, () => configuration({ prevResult: { ips: [{ address: 1 }] } }));
});

test("random bytes are parsed or rejected, and nothing else", () => {
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff;
    return seed % below;
  };
  const valid = Buffer.from(
    `CNI_COMMAND=ADD\0CNI_CONTAINERID=abc\0CNI_NETNS=/x\0CNI_IFNAME=eth0\0\0{"cniVersion":"1.0.0","name":"n","ipam":{"type":"x","routes":[{"dst":"0.0.0.0/0"}]},"prevResult":{"ips":[{"address":"1.2.3.4/8"}]}}\x000\0{"ip4":{"ip":"1.2.3.4/8"}}`,
  );
  let accepted = 0;
  for (let round = 0; round < 5_000; round++) {
    const body = Buffer.from(valid);
    for (let change = random(4); change >= 0; change--) body[random(body.length)] = random(3) === 0 ? 0 : random(256);
    try {
      const { environment, stdin } = parseCniRequest(
        body.subarray(0, random(8) === 0 ? random(body.length) : body.length),
      );
      parseCniCall(environment);
      parseCniConfiguration(parseCniJson(stdin));
      accepted++;
    } catch (error) {
      assert.ok(error instanceof WeaveError, `${body.toString("latin1")}: ${(error as Error).stack}`);
    }
  }
  assert.ok(accepted > 25 && accepted < 4_750, `${accepted} accepted`);
});

test("a list of names by networks is read for the own network alone, whatever its name", () => {
  const aliases = { weave: ["app"], other: ["not"] };
  const namesIn = (name: string) => aliasesOf(parseCniConfiguration({ name, runtimeConfig: { aliases } }));
  assert.deepEqual(namesIn("weave"), ["app"]);
  for (const name of ["third", "constructor", "toString"]) assert.deepEqual(namesIn(name), []);
});
