import { test } from "node:test";
import { inLab, type Lab } from "#test/lab/lab.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";

const skip = hostTestsImpossible() ?? false;

export interface LabTestOptions {
  readonly hosts: number;
  /** Milliseconds. */
  readonly timeout: number;
  /** MTU of the wire. */
  readonly mtu?: number;
}

/** A test on real interfaces, in a lab that is removed afterwards; skipped with its reason where that is impossible. */
export function labTest(
  name: string,
  { hosts, timeout, ...options }: LabTestOptions,
  run: (lab: Lab) => Promise<void>,
) {
  test(name, { skip, timeout }, () => inLab(hosts, run, options));
}
