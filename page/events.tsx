import { useEffect, useState } from "preact/hooks";
import { timeText } from "./format.ts";
import { matches } from "./model.ts";
import { DataTable } from "./tables.tsx";

/** One thing that happened at a host, as `GET /events` lists it. */
interface PageEvent {
  readonly id: string;
  readonly time: number;
  readonly peer: string;
  readonly kind: string;
  readonly severity: "info" | "warning" | "error";
  readonly subject: string;
  readonly text: string;
}

const MAX_EVENTS = 200;

/** What happened, the newest first; nothing where the router has no list of events. @param props.run changes when the router has started again */
export function Events({ run, wanted }: { readonly run: number | undefined; readonly wanted: string }) {
  const [events, setEvents] = useState<readonly PageEvent[]>();
  useEffect(() => follow(setEvents), [run]);
  if (events === undefined) return null;
  const rows = events
    .filter(({ kind, subject, text, peer }) => matches(wanted, kind, subject, text, peer))
    .map(({ id, time, kind, severity, text, peer }) => (
      <tr key={id} class={severity}>
        <td>
          <time dateTime={new Date(time).toISOString()}>{timeText(time)}</time>
        </td>
        <td>{severity}</td>
        <td>{kind}</td>
        <th scope="row">{text}</th>
        <td>
          <code>{peer}</code>
        </td>
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

/** Reads the list, then follows it. @returns a function that ends this */
function follow(set: (update: (before: readonly PageEvent[] | undefined) => readonly PageEvent[]) => void): () => void {
  const gone = new AbortController();
  let source: EventSource | undefined;
  const add = (more: readonly PageEvent[]) =>
    set((before = []) => {
      const known = new Set(before.map(({ id }) => id));
      return [...more.filter(({ id }) => !known.has(id)), ...before]
        .sort((a, b) => b.time - a.time)
        .slice(0, MAX_EVENTS);
    });
  const start = async () => {
    const answer = await fetch(`events?limit=${MAX_EVENTS}`, { signal: gone.signal });
    if (!answer.ok) return;
    add(((await answer.json()) as { readonly events: readonly PageEvent[] }).events);
    source = new EventSource("events/stream");
    source.addEventListener("message", ({ data }) => add([JSON.parse(data) as PageEvent]));
  };
  // A router that is gone: the state's own stream reports it.
  start().catch(() => {});
  return () => {
    gone.abort();
    source?.close();
  };
}
