import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { route, statusRoute } from "#router/route.js";

test("a route names segments, and matches only whole segments", () => {
  const { method, pattern, names, scope, changes } = route("DELETE /ip/:ident/:address", () => ({}));
  assert.deepEqual(
    { method, names, scope, changes },
    {
      method: "DELETE",
      names: ["ident", "address"],
      scope: "control",
      changes: true,
    },
  );
  assert.deepEqual(pattern.exec("/ip/a/10.0.0.1")!.slice(1), ["a", "10.0.0.1"]);
  for (const path of ["/ip/a", "/ip/a/", "/ip//b", "/ip/a/b/c", "/ip/a/b/", "x/ip/a/b", "/IP/a/b"])
    assert.equal(pattern.test(path), false, path);
  assert.equal(statusRoute("/a.b", () => ({})).pattern.test("/axb"), false);
});

test("a path is split into the segments that the route names", () => {
  const { pattern } = route("GET /x/:first/y/:second", () => ({}));
  const segment = fc.string({ minLength: 1 }).map((text) => text.replace(/[/\n\r\u2028\u2029]/g, "-"));
  fc.assert(
    fc.property(segment, segment, (first, second) => {
      assert.deepEqual(pattern.exec(`/x/${first}/y/${second}`)?.slice(1), [first, second]);
    }),
  );
});

test("a GET reads and every other method changes, unless the route says otherwise", () => {
  assert.equal(route("GET /ring", () => ({})).changes, false);
  assert.equal(route("GET /ring", () => ({}), { changes: true }).changes, true);
  assert.equal(route("POST /x", () => ({})).changes, true);
  assert.equal(statusRoute("/status", () => ({})).changes, false);
  assert.equal(statusRoute("/status", () => ({})).scope, "status");
});
