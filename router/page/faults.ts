import { MAX_PAGE_FAULTS, pageRows, pageSentence, pageWord } from "#router/page/bounds.js";
import type { FaultsSection, PageConnection, PageFault } from "#router/page/page-state.js";
import type { PageSources } from "#router/page/sources.js";

type Draft = Pick<PageFault, "about" | "text"> & Partial<PageFault>;

/** Errors before warnings before notes. */
const ORDER: readonly PageFault["severity"][] = ["error", "warning", "note"];

/** What is wrong, in the words of `weave status` and its sections: the worst first. */
export function faultsOf(sources: PageSources, connections: readonly PageConnection[]): FaultsSection {
  const drafts = [
    ...sources.problems.map((text): Draft => ({ severity: "error", about: "Problem", text })),
    ...meshFaults(sources),
    ...connections.flatMap(connectionFault),
    ...addressFaults(sources),
    ...nameAndDockerFaults(sources),
    ...statusLineFaults(sources.statusLines),
  ];
  const all = drafts.map(
    ({ severity = "warning", about, text, next = "", peer = "" }): PageFault => ({
      severity,
      about,
      text: pageSentence(text),
      next: pageSentence(next),
      peer: pageWord(peer),
    }),
  );
  return pageRows(
    all.sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity)),
    MAX_PAGE_FAULTS,
  );
}

function meshFaults({ router, suspended }: PageSources): Draft[] {
  return [
    ...suspended.map(
      ({ name, nickname }): Draft => ({
        severity: "error",
        about: "Unreachable",
        text: `No route leads to ${name}(${nickname}).`,
        next: "Look at that host with 'weave status', and at the network between. If it is gone for good, 'weave rmpeer' gives its addresses to this host.",
        peer: name,
      }),
    ),
    ...router.NameConflicts.map((text): Draft => ({ severity: "error", about: "Name conflict", text })),
    ...router.Equivocations.map((text): Draft => ({ severity: "error", about: "Equivocation", text })),
    ...router.SlowedNeighbours.map((text): Draft => ({ about: "Slowed peer", text })),
    ...router.RejectedFrom.map((text): Draft => ({ about: "Rejected data", text })),
    ...(router.PasswordWeakness === null ? [] : [{ about: "Password", text: router.PasswordWeakness }]),
    ...router.WrongPasswords.map(
      ({ Source, Count, Since }): Draft => ({
        about: "Wrong password",
        text: `${Count} from ${Source} since ${Since}`,
        next: "If that host belongs to the network, give it the same password.",
      }),
    ),
  ];
}

function connectionFault({ peer, address, state, info, reason }: PageConnection): Draft[] {
  const about = "Connection";
  if (state === "failed" || state === "retrying") return [{ about, text: `${address}: ${info}`, peer }];
  if (reason === "") return [];
  // Without a carrier no frame passes; by another one they pass more slowly.
  const severity = state === "established" ? "note" : "error";
  return [{ severity, about, text: `${address} ${info}: ${reason}`, peer }];
}

function addressFaults({ addresses }: PageSources): Draft[] {
  if (addresses === undefined) return [];
  const { report } = addresses;
  const withNext =
    (about: string) =>
    ({ Why, Next }: { readonly Why: string; readonly Next: string }): Draft => ({ about, text: `${Why}.`, next: Next });
  return [
    ...report.Waits.map(
      ({ Subject, SinceSeconds, For, Next }): Draft => ({
        severity: "error",
        about: "Address",
        text: `${Subject}: waits since ${SinceSeconds} s for ${For}.`,
        next: Next,
      }),
    ),
    ...report.Contested.map(withNext("Contested address")),
    ...report.OtherRanges.map(withNext("Other range")),
    ...report.GivenTwice.map(withNext("Addresses given twice")),
    ...report.Rejected.map(
      ({ Peer, Reason, Count }): Draft => ({
        about: "Not used",
        text: `${Count} ${Count === 1 ? "message" : "messages"} from ${Peer} not used: ${Reason}`,
      }),
    ),
    ...(report.AgreementAwaited.length > 0
      ? [
          {
            about: "Takeover",
            text: `addresses that were taken over are not handed out before the word of ${report.AgreementAwaited.slice(0, 8).join(", ")}`,
          },
        ]
      : []),
  ];
}

function nameAndDockerFaults({ names, docker }: PageSources): Draft[] {
  const problem = (about: string, text = ""): Draft[] => (text === "" ? [] : [{ severity: "error", about, text }]);
  return [
    ...problem("weaveDNS", names?.Problem),
    ...problem("Docker", docker?.Docker.Problem),
    ...problem("Swarm services", docker?.Docker.Services?.Problem),
    ...(docker?.Docker.Contested ?? []).map(
      ({ Address, Peers }): Draft => ({
        about: "Contested address",
        text: `${Address} is in use at ${Peers.join(" and ")}`,
      }),
    ),
  ];
}

/** Lines of `weave status` that exist only when something is wrong; a line without a label continues the one before. */
function statusLineFaults(lines: readonly string[]): Draft[] {
  return lines.flatMap((line) => {
    const [, about, text] = /^ *([\w ]*): (.*)\n?$/.exec(line) ?? [];
    return text === undefined ? [] : [{ about: about === "" ? "And" : about, text }];
  });
}
