import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { routerOptions } from "#router/options.js";
import { supervisionName } from "#router/supervision.js";

test("status names what starts the router again", () => {
  const name = (words: string[], ...flags: string[]) =>
    supervisionName(words, routerOptions(parseLaunch(flags, { WEAVE_DOCKER_API: "" }).options));
  assert.equal(name([]), "process");
  assert.equal(name([], "--no-restart"), "none");
  assert.equal(name(["--foreground"]), "none");
  assert.equal(name(["--foreground"], "--plugin-v2"), "plugin");
  assert.equal(name(["--foreground", "--supervised=systemd", "--restarted"]), "systemd");
  assert.equal(name(["--foreground", "--supervised=container"]), "container");
});
