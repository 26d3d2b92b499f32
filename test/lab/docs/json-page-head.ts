/** The part of docs/json.md that is written by hand. */
export const JSON_PAGE_HEAD = `# JSON

Written by \`npm run docs\` from \`cli/json/shapes.ts\`. Every command that prints something prints it as JSON with \`--json\`, except scripts and files: \`weave completion\`, \`weave help\` and
\`weave backup -\`.

<!-- tested: 1 host -->

\`\`\`
host1# weave launch --json --dns-listen-address 127.0.0.1:5300
{
    "Schema": "weave.launch/1",
    "Id": "…",
    "Supervision": "process"
}
host1# weave version --json
{
    "Schema": "weave.version/1",
    "Command": "0.1.0",
    "Router": "0.1.0"
}
host1# weave status dns --json
{
    "Schema": "weave.status-dns/1",
    "Entries": []
}
\`\`\`

- **Version.** The first key of each document is \`Schema\`: the kind of document, and its version. Within a version keys are only added: a program must ignore keys that it does not know. A key that is
  removed, renamed or gets another type makes the next version.
- **Missing values** are \`null\`; a key is never left out. Empty lists are \`[]\`.
- **Numbers** are exact in a double. Numbers of 64 bits are strings.
- **Errors.** With \`--json\` the error that ends a command is a document of one line, the last one of standard error, and standard output is empty or has a whole document. The exit status is the same as without
  \`--json\`. Progress and notes on standard error remain text.
- **Colours** are used on a terminal alone, and not if \`NO_COLOR\` is set.
- **\`weave status --watch --json\`** prints a document on one line every two seconds (\`--interval\`), also while the router is away: then an error, as text on standard error.

A field is named by its path: \`Peers[].Name\` is \`Name\` in each item of the list \`Peers\`, \`Rejected.*\` each value of the object \`Rejected\`, whose keys are data. \`Order?.By\`: the object \`Order\` can be
\`null\`.

## Types
`;
