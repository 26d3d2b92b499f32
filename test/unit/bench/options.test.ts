import assert from "node:assert/strict";
import { test } from "node:test";
import { MEASURE_NAMES } from "#test/bench/measures.js";
import { HELP, parseOptions } from "#test/bench/options.js";

test("without flags all is measured in five rounds, quickly in two", () => {
  const options = parseOptions([]);
  assert.ok(options !== "help");
  assert.deepEqual([options.rounds, options.only, options.measures], [5, undefined, MEASURE_NAMES]);
  const quick = parseOptions(["--quick"]);
  assert.ok(quick !== "help" && quick.rounds === 2);
});

test("measures run in their own order, however they are named", () => {
  const options = parseOptions(["--measures", "ping,cold"]);
  assert.deepEqual(options !== "help" && options.measures, ["cold", "ping"]);
});

test("unknown names and numbers out of range are rejected with those that are known", () => {
  assert.throws(() => parseOptions(["--only", "ours,wireguard"]), /no "wireguard"; known are raw,vxlan,fastdp,ours/);
  assert.throws(() => parseOptions(["--measures", "speed"]), /no "speed"; known are cold,tcp/);
  for (const rounds of ["0", "x", "101", "1.5"])
    assert.throws(() => parseOptions(["--rounds", rounds]), /--rounds is 1 to 100/);
  for (const noise of ["0", "-1", "x"]) assert.throws(() => parseOptions([`--noise=${noise}`]), /--noise is above 0/);
  assert.throws(() => parseOptions(["--fast"]), /--fast/);
});

test("other builds have names of their own", () => {
  const options = parseOptions(["--ours", "a=/x/weave", "--ours", "b=/y=z/weave"]);
  assert.deepEqual(options !== "help" && [...options.ours], [
    ["a", "/x/weave"],
    ["b", "/y=z/weave"],
  ]);
  assert.throws(() => parseOptions(["--ours", "fastd=/x"]), /another "fastd"/);
  assert.throws(() => parseOptions(["--ours", "/x/weave"]), /NAME=PROGRAM/);
});

test("help names all measures", () => {
  for (const name of MEASURE_NAMES) assert.ok(HELP.includes(name), name);
});
