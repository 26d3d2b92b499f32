// Writes the parts of docs/ that are made of the source.
import { readFileSync, writeFileSync } from "node:fs";
import { withFlagTable } from "../dist/cli/launch/flag-table.js";

const page = new URL("../docs/commands.md", import.meta.url);
writeFileSync(page, withFlagTable(readFileSync(page, "utf8")));
