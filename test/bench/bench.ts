import { inLab, type Lab } from "#test/lab/lab.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";

/** The value after `name` on the command line. */
export const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at > 0 ? process.argv[at + 1] : undefined;
};

/** Runs a benchmark in a lab of so many hosts. @throws Error: this machine cannot have one */
export function benchLab(hosts: number, run: (lab: Lab) => Promise<void>): Promise<void> {
  requireLabs();
  return inLab(hosts, run);
}

/** @throws Error: this machine cannot have network namespaces with real interfaces */
export function requireLabs(): void {
  const impossible = hostTestsImpossible();
  if (impossible !== undefined) throw new Error(`the bench ${impossible}`);
}
