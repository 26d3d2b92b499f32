import { usageOf } from "#cli/help.js";
import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { EXIT_STATUSES, type Fact, files, ports, VARIABLES } from "#cli/manual/facts.js";
import {
  bold,
  example,
  indented,
  literal,
  paragraph,
  prose,
  section,
  subsection,
  tagged,
  usage,
} from "#cli/manual/roff.js";
import { type CommandRow, GROUPS } from "#cli/support/command-table.js";
import { factsOf, isShown, type Row, sectionsOf, typed } from "#cli/support/flag-words.js";
import { PLACEHOLDERS } from "#cli/support/placeholders.js";
import type { Rows } from "#src/flag.js";
import { VERSION } from "#src/version.js";

const LAUNCH_FLAGS: Rows = ALL_FLAGS;

/** The man page weave(1), from the tables that describe commands and flags in help, and the tables of cli/manual/facts.ts. */
export function manPage(): string {
  return [
    `.TH WEAVE 1 "" "weave ${VERSION}" "Weave"\n`,
    section("NAME", `weave \\- a peer-to-peer overlay network for Docker hosts\n`),
    section(
      "SYNOPSIS",
      `${bold("weave")} \\fIcommand\\fR [\\fIflag\\fR ...] [\\fIargument\\fR ...]\n`,
      `.br\n${bold("weave help")} [\\fIcommand\\fR]\n`,
    ),
    section("DESCRIPTION", DESCRIPTION.map((words) => `${prose(words)}\n`).join(".PP\n")),
    section("COMMANDS", ...commands().map(([name, row]) => commandText(name, row))),
    section(
      "ARGUMENTS",
      ...Object.entries(PLACEHOLDERS).map(([term, form]) => tagged(`\\fI${literal(term)}\\fR`, usage(form))),
    ),
    section(
      "FLAGS OF LAUNCH",
      ...[...sectionsOf(LAUNCH_FLAGS)].map(([title, rows]) => subsection(title, ...rows.map(flagText))),
    ),
    section("ENVIRONMENT", `${prose(ENVIRONMENT)}\n`, ...variables().map(fact)),
    section("FILES", ...files().map(fact)),
    section("PORTS", ...ports().map(fact)),
    section("EXIT STATUS", ...EXIT_STATUSES.map(([status, meaning]) => fact([String(status), meaning]))),
    section("EXAMPLES", EXAMPLES.map(([words, ...lines]) => `${prose(words)}\n${example(lines)}`).join(".PP\n")),
    section(
      "SEE ALSO",
      `${["docker", "ip-netns", "bridge"].map((name) => `.BR ${literal(name)} ${name === "docker" ? "(1)" : "(8)"}`).join(" ,\n")}\n`,
    ),
  ].join("");
}

const DESCRIPTION = [
  "Weave joins the containers of several hosts to one Ethernet, whose frames travel encrypted between the hosts. Each host runs one router, a peer. A peer needs the address of one other peer; there is no server and no database beside them. Peers allocate addresses, answer DNS queries for the names of containers, and connect to each other by the shortest way that works.",
  "'weave launch' starts the router of this host. All other commands use it. A command that changes something needs root.",
];

const ENVIRONMENT =
  "A variable counts where its flag is missing at 'weave launch'. An empty variable is the same as none.";

const EXAMPLES: readonly (readonly [words: string, ...lines: string[]])[] = [
  ["Two hosts, with the password in a file. On the first:", "weave launch --password-file /etc/weave/password"],
  ["On the second:", "weave launch --password-file /etc/weave/password host1.example.org"],
  [
    "Containers that find each other by name, started through the proxy:",
    'eval "$(weave env)"',
    "docker run -d --name web nginx",
    "docker run -ti alpine ping web",
  ],
  [
    "A network namespace with an address on the overlay, and the host with one:",
    "weave attach netns:red",
    "weave expose",
  ],
  ["What the router knows of its connections, and why one fails:", "weave status connections"],
];

const commands = (): [string, CommandRow][] => GROUPS.flatMap((group) => Object.entries<CommandRow>(group));

function commandText(name: string, { summary, details = [], flags = {}, examples = [] }: CommandRow): string {
  const forms = usageOf(name)
    .trimEnd()
    .split("\n")
    .join(" ")
    .split(/ *\bUsage: |(?<=\S) +(?=weave )/);
  const body = [
    ...details.map((words) => paragraph(prose(words))),
    ...(name === "launch" ? [paragraph(`Its flags are below, in ${bold("FLAGS OF LAUNCH")}.`)] : []),
    ...Object.values(flags as Rows).map(flagText),
    ...(examples.length === 0 ? [] : [example(examples)]),
  ];
  const heads = forms.filter((form) => form !== "").map((form) => usage(form.replace(/\s+/g, " ")));
  return `${tagged(heads.join("\n.TQ\n"), prose(`${summary}.`))}${indented(body.join(""))}`;
}

/** A flag with its meaning, range, default and variable. */
function flagText(row: Row): string {
  if (!isShown(row)) return tagged(usage(typed(row)), "Accepted without effect.");
  const facts = factsOf(row);
  return tagged(usage(typed(row)), prose(`${row.meaning}${facts.length === 0 ? "" : ` (${facts.join("; ")})`}`));
}

const fact = ([name, meaning]: Fact): string => tagged(bold(name), prose(meaning));

/** All variables, in the order of their names: those of flags, and the others. */
function variables(): Fact[] {
  const rows: readonly Row[] = Object.values(LAUNCH_FLAGS);
  const own = new Map(VARIABLES);
  const names = rows.flatMap((row) => namesIn(row.env).concat(namesIn(row.defaultFrom)));
  return [...new Set([...names, ...own.keys()])].sort().map((name) => {
    const flags = (has: (row: Row) => boolean) =>
      rows
        .filter(has)
        .map((row) => typed(row).split(" ")[0])
        .join(", ");
    const [same, changed] = [flags((row) => row.env === name), flags((row) => namesIn(row.defaultFrom).includes(name))];
    const parts = [
      own.get(name) ?? "",
      same === "" ? "" : `At 'weave launch' the same as ${same}.`,
      changed === "" ? "" : `At 'weave launch' it changes the default of ${changed}.`,
    ];
    return [name, parts.filter((part) => part !== "").join(" ")];
  });
}

const namesIn = (words = ""): string[] => words.match(/\b[A-Z]+_[A-Z_]+\b/g) ?? [];
