import { withFlagTable } from "#cli/launch/flag-table.js";
import { ERRORS, type ErrorCode } from "#src/errors.js";
import { HTTP_STATUS } from "#src/http/error-status.js";
import { apiPage } from "#test/lab/docs/api-page.js";
import { jsonPage } from "#test/lab/docs/json-page.js";
import { page } from "#test/lab/docs/pages.js";

/** Pages that are made from the source, by path: `npm run docs` writes them, and a test compares. */
export function generatedPages(): ReadonlyMap<string, string> {
  return new Map([
    ["docs/commands.md", withFlagTable(page("docs/commands.md"))],
    ["docs/errors.md", errorPage()],
    ["docs/api.md", apiPage()],
    ["docs/json.md", jsonPage()],
  ]);
}

const ERROR_HEAD = `# Error codes

Written by \`npm run docs\` from \`src/errors.ts\`. A code is stable: scripts may rely on it. The wording of messages may change. The control API returns
the code in JSON (\`Accept: application/json\`) with the HTTP status of this table; the \`weave\` command ends with the exit status.

| code | meaning | HTTP | exit |
|---|---|---|---|
`;

function errorPage(): string {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  const rows = codes.map(
    (code) => `| \`${code}\` | ${ERRORS[code].meaning} | ${HTTP_STATUS[code]} | ${ERRORS[code].exit} |\n`,
  );
  return `${ERROR_HEAD}${rows.join("")}`;
}
