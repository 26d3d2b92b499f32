import { test } from "node:test";
import { dockerTestsImpossible } from "#test/lab/docker-host.js";
import { type Scenario, scenariosOf } from "#test/lab/docs/page-blocks.js";
import { runScenario } from "#test/lab/docs/page-run.js";
import { allPages, page } from "#test/lab/docs/pages.js";
import { podmanTestsImpossible } from "#test/lab/podman-host.js";

const SCENARIO_MS = 300_000;

const podmanMissing = ({ setup }: Scenario): string | undefined =>
  setup?.features.includes("Podman") ? podmanTestsImpossible() : undefined;

/**
 * A test for each scenario of the pages.
 *
 * @param slow those of `npm run test:packaging`; otherwise those of `npm test`
 * @param impossible why they cannot run here
 */
export function pageTests(slow: boolean, impossible: string | undefined = dockerTestsImpossible()): void {
  const skip = impossible ?? false;
  for (const path of allPages())
    for (const scenario of scenariosOf(page(path)))
      if (scenario.setup?.slow === slow)
        test(
          `the commands of ${path}, from line ${scenario.line}, do what the page shows`,
          { skip: skip || (podmanMissing(scenario) ?? false), timeout: SCENARIO_MS },
          () => runScenario(path, scenario),
        );
}
