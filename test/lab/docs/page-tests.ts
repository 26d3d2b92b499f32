import { test } from "node:test";
import { dockerTestsImpossible } from "#test/lab/docker-host.js";
import { setupOf } from "#test/lab/docs/page-blocks.js";
import { runPage } from "#test/lab/docs/page-run.js";
import { allPages, page } from "#test/lab/docs/pages.js";

const PAGE_MS = 180_000;

/**
 * A test for each page that has sessions.
 *
 * @param slow those of `npm run test:packaging`; otherwise those of `npm test`
 * @param impossible why they cannot run here
 */
export function pageTests(slow: boolean, impossible: string | undefined = dockerTestsImpossible()): void {
  const skip = impossible ?? false;
  for (const path of allPages())
    if (setupOf(page(path))?.slow === slow)
      test(`the commands of ${path} do what the page shows`, { skip, timeout: PAGE_MS }, () => runPage(path));
}
