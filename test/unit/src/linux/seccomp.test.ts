import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { DENIED, DENIED_AFTER_START, type Instruction, seccompProgram } from "#src/linux/native/seccomp.js";

const ALLOW = 0x7fff_0000;
const EPERM = 0x0005_0001;
const ENOSYS = 0x0005_0026;
const AUDIT = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
const ARCHES = ["x64", "arm64"] as const;

/** Runs a filter as the kernel does (bpf_check_classic, seccomp_check_filter): no jump leaves it, every path returns. */
function verdict(program: readonly Instruction[], nr: number, arch: number, args: readonly number[] = []): number {
  const words = new Map([
    [0, nr],
    [4, arch],
    ...args.flatMap((value, index): [number, number][] => [[16 + 8 * index, value >>> 0]]),
  ]);
  let accumulator = 0;
  for (let at = 0; at < program.length; at++) {
    const [code, jt, jf, k] = program[at];
    assert.ok(jt < 256 && jf < 256 && k >= 0 && k < 2 ** 32, "an instruction does not fit");
    if (code === 0x20) accumulator = words.get(k) ?? 0;
    else if (code === 0x06) return k;
    else {
      const holds =
        code === 0x15 ? accumulator === k : code === 0x35 ? accumulator >= k : (accumulator & k) >>> 0 !== 0;
      at += holds ? jt : jf;
    }
  }
  assert.fail("the filter ends without an answer");
}

test("the filter denies what its table has, all of other architectures, and nothing else", () => {
  for (const [index, arch] of ARCHES.entries()) {
    const program = seccompProgram(arch);
    const denied = new Set(
      Object.values(DENIED)
        .flatMap((calls) => Object.values(calls))
        .map((numbers) => numbers[index]),
    );
    const special = arch === "x64" ? [56, 272, 308, 435] : [220, 97, 268, 435];
    let allowed = 0;
    for (let nr = 0; nr < 1_000; nr++) {
      if (special.includes(nr)) continue;
      const expected = denied.has(nr) ? EPERM : ALLOW;
      assert.equal(verdict(program, nr, AUDIT[arch]), expected, `call ${nr} on ${arch}`);
      if (expected === ALLOW) allowed++;
      for (const other of [AUDIT[ARCHES[1 - index]], 0x4000_0003, 0]) assert.equal(verdict(program, nr, other), EPERM);
    }
    assert.ok(allowed > 900);
    if (arch === "x64")
      for (const nr of [0, 59, 520]) assert.equal(verdict(program, 0x4000_0000 + nr, AUDIT.x64), EPERM);
  }
});

test("network namespaces are the only ones that may be made or entered", () => {
  const NET = 0x4000_0000;
  const THREAD = 0x003d_0f00;
  for (const arch of ARCHES) {
    const program = seccompProgram(arch);
    const [clone, unshare, setns] = arch === "x64" ? [56, 272, 308] : [220, 97, 268];
    const ask = (nr: number, ...args: number[]) => verdict(program, nr, AUDIT[arch], args);
    assert.equal(ask(435), ENOSYS);
    for (const flags of [17, THREAD, NET | 17, 0x4100 | 17]) assert.equal(ask(clone, flags), ALLOW);
    for (const flags of [0, NET, 0x400]) assert.equal(ask(unshare, flags), ALLOW);
    for (const other of [0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000]) {
      assert.equal(ask(clone, other | 17), EPERM);
      assert.equal(ask(unshare, NET | other), EPERM);
      assert.equal(ask(setns, 3, other), EPERM);
    }
    assert.equal(ask(unshare, 0x80), EPERM);
    assert.equal(ask(setns, 3, NET), ALLOW);
    assert.equal(ask(setns, 3, 0), EPERM);
  }
});

test("threads and programs get no real-time policy, and frame threads their nice value and time slice", () => {
  for (const [arch, denied, allowed] of [
    // sched_setscheduler, sched_setparam; setpriority, sched_setattr, sched_getscheduler, sched_yield
    ["x64", [144, 142], [141, 314, 145, 24]],
    ["arm64", [119, 118], [140, 274, 120, 124]],
  ] as const) {
    const ask = (nr: number) => verdict(seccompProgram(arch), nr, AUDIT[arch]);
    for (const nr of denied) assert.equal(ask(nr), EPERM, `call ${nr} on ${arch}`);
    for (const nr of allowed) assert.equal(ask(nr), ALLOW, `call ${nr} on ${arch}`);
    const [, setattr, ...rest] = allowed;
    const later = (nr: number) => verdict(seccompProgram(arch, DENIED_AFTER_START), nr, AUDIT[arch]);
    assert.equal(later(setattr), EPERM, `after the start, on ${arch}`);
    for (const nr of [allowed[0], ...rest]) assert.equal(later(nr), ALLOW, `call ${nr} on ${arch}`);
  }
});

test("once a process has started, no thread of it gets a real-time policy by any call", async () => {
  const module = (path: string) => JSON.stringify(new URL(`../../../../src/linux/native/${path}.js`, import.meta.url));
  // struct sched_attr: size 48, policy 1 (SCHED_FIFO), priority 1 at offset 20.
  const script = `
    const { confineProcess, confineStarted } = await import(${module("confinement")});
    const { libc, errno } = await import(${module("libc")});
    const { Memory } = await import(${module("memory")});
    const { setThreadNice } = await import(${module("scheduling")});
    const attributes = new Memory(48);
    const request = (policy) => {
      attributes.view.setUint32(0, 48, true);
      attributes.view.setUint32(4, policy, true);
      attributes.view.setUint32(20, policy, true);
      const number = process.arch === "x64" ? 314 : 274;
      return Number(libc.syscall(number, 0, attributes.at(0, 48), 0, 0, 0, 0)) === 0 ? 0 : errno();
    };
    const refused = confineProcess();
    const before = request(0);
    refused.push(confineStarted() ?? []);
    setThreadNice(5);
    console.log(JSON.stringify([refused.flat(), before, request(1), request(0)]));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  const EPERM_CODE = 1;
  assert.deepEqual(JSON.parse(stdout), [[], 0, EPERM_CODE, EPERM_CODE]);
});
