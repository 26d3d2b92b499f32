// Writes the pages of docs/, and parts of pages, that are made from the source. `npm run build` comes first.
import { writeFileSync } from "node:fs";
import { generatedPages } from "../dist/test/lab/docs/generated-pages.js";

for (const [path, text] of generatedPages()) writeFileSync(new URL(`../${path}`, import.meta.url), text);
