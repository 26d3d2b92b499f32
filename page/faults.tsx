import type { FaultsSection, PageFault } from "#router/page/page-state.js";
import { countOf } from "./format.ts";
import type { Select } from "./model.ts";

const SIGNS: Readonly<Record<PageFault["severity"], string>> = { error: "✕", warning: "!", note: "i" };

/** What is wrong, first of all; one line when all is well. */
export function Faults({ faults, select }: { readonly faults: FaultsSection; readonly select: Select }) {
  const { list, left } = faults;
  const serious = list.filter(({ severity }) => severity !== "note");
  const notes = list.filter(({ severity }) => severity === "note");
  const head = serious.length === 0 ? "All is well" : `${countOf(serious.length + left, "fault")} to look at`;
  return (
    <section class={`card faults ${serious.length === 0 ? "well" : "ill"}`} aria-labelledby="faults">
      <h2 id="faults">
        <span class="sign" aria-hidden="true">
          {serious.length === 0 ? "✓" : "!"}
        </span>
        {head}
      </h2>
      {serious.length > 0 && <FaultList list={serious} select={select} />}
      {left > 0 && <p class="left">{countOf(left, "more", "more")}: 'weave status' and 'weave report' have all.</p>}
      {notes.length > 0 && (
        <details open={serious.length === 0 && notes.length < 4}>
          <summary>{countOf(notes.length, "note")}</summary>
          <FaultList list={notes} select={select} />
        </details>
      )}
    </section>
  );
}

function FaultList({ list, select }: { readonly list: readonly PageFault[]; readonly select: Select }) {
  return (
    <ul>
      {list.map(({ severity, about, text, next, peer }) => (
        <li key={`${about} ${text}`} class={severity}>
          <span class="sign" aria-hidden="true">
            {SIGNS[severity]}
          </span>
          <div>
            <b>{about}</b> <span class="hidden">({severity})</span>
            <p>{text}</p>
            {next !== "" && <p class="next">{next}</p>}
          </div>
          {peer !== "" && (
            <button type="button" onClick={() => select({ kind: "peer", key: peer })}>
              Show the peer<span class="hidden"> {peer}</span>
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}
