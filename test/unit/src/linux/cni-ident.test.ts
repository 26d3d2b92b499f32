import assert from "node:assert/strict";
import { test } from "node:test";
import { isIdent } from "#src/ident.js";
import {
  cniAlias,
  cniHostIfname,
  cniIdent,
  cniIpamIdent,
  parseCniAlias,
  parseCniIdent,
  parseCniIpamIdent,
} from "#src/linux/netns/cni-ident.js";

const ID = { network: "weave", container: "abc", ifname: "eth0" };
const LONGEST = { network: "n".repeat(80), container: "c".repeat(128), ifname: "i".repeat(15) };

test("the ident of an attachment is read back, and belongs to no other kind of holder", () => {
  for (const id of [ID, LONGEST]) {
    assert.ok(isIdent(cniIdent(id)) && isIdent(cniIpamIdent(id)));
    assert.deepEqual([parseCniIdent(cniIdent(id)), parseCniIpamIdent(cniIpamIdent(id))], [id, id]);
    assert.deepEqual([parseCniIdent(cniIpamIdent(id)), parseCniIpamIdent(cniIdent(id))], [undefined, undefined]);
  }
  for (const ident of ["weave:expose", "cni:a:b", "cni:a:b:c:d", "cni::b:c", "ns1234", "a".repeat(64)])
    assert.equal(parseCniIdent(ident), undefined, ident);
});

test("the alias of a host end has the ident and the namespace, in the kernel's 255 characters", () => {
  const alias = cniAlias(cniIdent(LONGEST), { inode: 0xffff_ffff });
  assert.ok(alias.length <= 255, String(alias.length));
  assert.deepEqual(parseCniAlias(cniAlias(cniIdent(ID), { inode: 255 })), {
    ...ID,
    ident: cniIdent(ID),
    netns: "nsff",
  });
  for (const text of [undefined, "", "made by weave", cniIdent(ID), `${cniIdent(ID)} nsff x`])
    assert.equal(parseCniAlias(text), undefined);
});

test("interfaces of one container have different host ends, with names that the kernel allows", () => {
  const names = ["eth0", "eth1"].flatMap((ifname) =>
    ["a", "b"].map((container) => cniHostIfname(cniIdent({ ...ID, container, ifname }))),
  );
  assert.equal(new Set(names).size, 4);
  for (const name of names) assert.match(name, /^vethwec[0-9a-z]{8}$/);
});
