import { useEffect, useState } from "preact/hooks";
import type { EventRow, EventsDocument } from "#router/event-log/event-row.js";
import { timeText } from "./format.ts";
import { matches } from "./model.ts";
import { DataTable } from "./tables.tsx";

const MAX_EVENTS = 200;

/** What happened, the newest first; nothing where the router has no list of events. @param props.run changes when the router has started again */
export function Events({ run, wanted }: { readonly run: number | undefined; readonly wanted: string }) {
  const [events, setEvents] = useState<readonly EventRow[]>();
  useEffect(() => follow(setEvents), [run]);
  if (events === undefined) return null;
  const rows = events
    .filter(({ Kind, Subject, Text, Peer, Nickname }) => matches(wanted, Kind, Subject, Text, Peer, Nickname))
    .map(({ Id, Time, Kind, Severity, Text, Peer, Nickname }) => (
      <tr key={Id} class={Severity}>
        <td>
          <time dateTime={Time}>{timeText(Date.parse(Time))}</time>
        </td>
        <td>{Severity}</td>
        <td>{Kind}</td>
        <th scope="row">{Text}</th>
        <td>{Nickname || <code>{Peer}</code>}</td>
      </tr>
    ));
  return (
    <DataTable
      id="events"
      title="Events"
      columns={["Time", "Severity", "Kind", "What happened", "At"]}
      rows={rows}
      left={0}
      empty={wanted === "" ? "Nothing has happened yet." : "No event matches."}
    />
  );
}

/** Reads the list, then follows it while the page is seen. @returns a function that ends this */
function follow(set: (update: (before: readonly EventRow[] | undefined) => readonly EventRow[]) => void): () => void {
  let gone = new AbortController();
  let source: EventSource | undefined;
  const add = ({ Events: more }: EventsDocument) =>
    set((before = []) => {
      const known = new Set(before.map(({ Id }) => Id));
      return [...more.filter(({ Id }) => !known.has(Id)), ...before]
        .sort((a, b) => Date.parse(b.Time) - Date.parse(a.Time))
        .slice(0, MAX_EVENTS);
    });
  const start = async () => {
    gone = new AbortController();
    const answer = await fetch(`events?limit=${MAX_EVENTS}`, { signal: gone.signal });
    if (!answer.ok) return;
    add((await answer.json()) as EventsDocument);
    source = new EventSource("events/stream");
    source.addEventListener("message", ({ data }) => add(JSON.parse(data) as EventsDocument));
  };
  const stop = () => {
    gone.abort();
    source?.close();
  };
  // A router that is gone: the state's own stream reports it.
  const restart = () => (document.hidden ? stop() : start().catch(() => {}));
  document.addEventListener("visibilitychange", restart);
  void restart();
  return () => {
    document.removeEventListener("visibilitychange", restart);
    stop();
  };
}
