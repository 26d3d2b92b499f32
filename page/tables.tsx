import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { PageState } from "#router/page/page-state.js";
import type { Rates } from "./feed.ts";
import { countOf, countText, millisecondsText, percentText, rateText, shortText } from "./format.ts";
import { matches, type PeerView, type Select, type Selection, STATUS_TEXTS } from "./model.ts";
import { nameKey } from "./object-details.tsx";

/** Rows that a table shows before its user wants all. */
const ROWS = 25;

interface TableProps {
  readonly state: PageState;
  readonly select: Select;
  readonly selection: Selection | undefined;
  readonly wanted: string;
}

/** A table in a card of its own, which shows its first rows until a button is pressed. */
export function DataTable(props: {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly ComponentChildren[];
  /** Rows that the router has left out. */
  readonly left: number;
  readonly empty: string;
}) {
  const { id, title, columns, rows, left, empty } = props;
  const [all, setAll] = useState(false);
  const shown = all ? rows : rows.slice(0, ROWS);
  return (
    <section class="card table" aria-labelledby={id}>
      <h2 id={id}>
        {title} <small>{countText(rows.length + left)}</small>
      </h2>
      {rows.length === 0 ? (
        <p class="empty">{empty}</p>
      ) : (
        <div class="scroll">
          <table aria-labelledby={id}>
            <thead>
              <tr>
                {columns.map((column) => (
                  <th key={column} scope="col">
                    {column}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>{shown}</tbody>
          </table>
        </div>
      )}
      {rows.length > ROWS && (
        <button type="button" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? `Show ${ROWS}` : `Show all ${countText(rows.length)}`}
        </button>
      )}
      {left > 0 && <p class="left">{countOf(left, "row")} more than this page shows: 'weave report' has all.</p>}
    </section>
  );
}

/** All peers: what the map shows, and the figures of each link of this host. */
export function Peers(
  props: TableProps & { readonly peers: readonly PeerView[]; readonly rates: ReadonlyMap<string, Rates> },
) {
  const { state, peers, rates, select, selection, wanted } = props;
  const order = [...peers.slice(1)].sort((a, b) => a.title.localeCompare(b.title, "en", { numeric: true }));
  const rows = [peers[0], ...order]
    .filter(({ name, nickname, connection }) => matches(wanted, name, nickname, connection?.address ?? ""))
    .map((peer) => {
      const { name, title, status, connection, figures } = peer;
      const [roundTrip, loss] = figures ?? [null, null];
      const rate = rates.get(status === "self" ? "" : name);
      return (
        <tr key={name} class={selection?.kind === "peer" && selection.key === name ? "chosen" : ""}>
          <th scope="row">
            <button type="button" class="link" onClick={() => select({ kind: "peer", key: name })}>
              {shortText(title, 40)}
            </button>
          </th>
          <td>
            <code>{name}</code>
          </td>
          <td>
            <span class={`badge is-${status}`}>{STATUS_TEXTS[status]}</span>
          </td>
          <td>{connection === undefined ? "" : connection.encrypted ? "yes" : "no"}</td>
          <td class="number">{roundTrip === null ? "" : millisecondsText(roundTrip)}</td>
          <td class="number">{loss === null ? "" : percentText(loss)}</td>
          <td class="number">{rate === undefined ? "" : rateText(rate.sent.at(-1) ?? 0)}</td>
          <td class="number">{rate === undefined ? "" : rateText(rate.received.at(-1) ?? 0)}</td>
        </tr>
      );
    });
  return (
    <DataTable
      id="peers"
      title="Peers"
      columns={["Peer", "Name", "Reached by", "Encrypted", "Round trip", "Loss", "Sending", "Receiving"]}
      rows={rows}
      left={wanted === "" ? state.mesh.left.peers : 0}
      empty="No peer matches."
    />
  );
}

/** Names of all hosts. */
export function Names({
  names,
  state,
  select,
  selection,
  wanted,
}: TableProps & { readonly names: NonNullable<PageState["names"]> }) {
  const nicknames = new Map(state.mesh.peers.map(({ name, nickname }) => [name, nickname]));
  const rows = names.list
    .filter(({ name, address, container, peer }) =>
      matches(wanted, name, address, container, nicknames.get(peer) ?? peer),
    )
    .map((entry) => (
      <tr key={nameKey(entry)} class={selection?.kind === "name" && selection.key === nameKey(entry) ? "chosen" : ""}>
        <th scope="row">
          <button type="button" class="link" onClick={() => select({ kind: "name", key: nameKey(entry) })}>
            {shortText(entry.name, 60)}
          </button>
        </th>
        <td>
          <code>{entry.address}</code>
        </td>
        <td>
          <code>{shortText(entry.container, 24)}</code>
        </td>
        <td>
          {nicknames.get(entry.peer) ?? entry.peer}
          {entry.away ? " (unreachable)" : ""}
        </td>
      </tr>
    ));
  return (
    <DataTable
      id="names"
      title="Names"
      columns={["Name", "Address", "Holder", "Host"]}
      rows={rows}
      left={wanted === "" ? names.left : 0}
      empty={wanted === "" ? "No names are registered." : "No name matches."}
    />
  );
}

/** Containers and namespaces of this host. */
export function Containers({ state, select, selection, wanted }: TableProps) {
  const { list, left } = state.containers;
  const allocated = new Set(state.addresses?.holders.flatMap(({ addresses }) => addresses));
  const rows = list
    .filter(({ id, mac, addresses }) => matches(wanted, id, mac, ...addresses))
    .map(({ id, mac, addresses }) => (
      <tr key={`${id} ${mac}`} class={selection?.kind === "container" && selection.key === id ? "chosen" : ""}>
        <th scope="row">
          <button type="button" class="link" onClick={() => select({ kind: "container", key: id })}>
            {id === "weave:expose" ? "bridge of this host" : shortText(id, 16)}
          </button>
        </th>
        <td>
          <code>{addresses.join(" ") || "–"}</code>
        </td>
        <td>
          <code>{mac}</code>
        </td>
        <td>{addresses.length === 0 ? "" : addresses.every((each) => allocated.has(each)) ? "weave" : "hand"}</td>
      </tr>
    ));
  return (
    <DataTable
      id="containers"
      title="Containers of this host"
      columns={["Container", "Addresses", "MAC", "Allocated by"]}
      rows={rows}
      left={wanted === "" ? left : 0}
      empty={wanted === "" ? "Nothing is attached." : "No container matches."}
    />
  );
}
