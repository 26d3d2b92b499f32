import { pageTests } from "#test/lab/docs/page-tests.js";

/** Runs every command of the pages on hosts of a lab. How pages state what is run: `test/lab/docs/page-blocks.ts`. */
pageTests(false);
