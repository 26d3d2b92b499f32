import { useEffect, useMemo, useState } from "preact/hooks";
import type { PageState } from "#router/page/page-state.js";
import { Addresses } from "./addresses.tsx";
import { Banner } from "./banner.tsx";
import { Details } from "./details.tsx";
import { Events } from "./events.tsx";
import { Faults } from "./faults.tsx";
import { Feed, type Live } from "./feed.ts";
import { Header } from "./header.tsx";
import { neighboursOf, peerViews, type Selection } from "./model.ts";
import { MAX_LABELLED, NetworkMap } from "./network-map.tsx";
import { Containers, Names, Peers } from "./tables.tsx";

/** The whole page. */
export function App() {
  const [live, setLive] = useState<Live>();
  useEffect(() => {
    new Feed(setLive);
  }, []);
  if (live?.state === undefined)
    return (
      <main class="first">
        <h1>Weave</h1>
        <p role="status">
          {live === undefined || live.contact === "connecting"
            ? "Waiting for the state of the router …"
            : "The router does not answer yet; trying again …"}
        </p>
      </main>
    );
  return <Network live={live} state={live.state} />;
}

function Network({ live, state }: { readonly live: Live; readonly state: PageState }) {
  const [selection, setSelection] = useState<Selection>();
  const [typed, setTyped] = useState("");
  const { mesh, connections, figures } = state;
  const peers = useMemo(() => peerViews(state), [mesh, connections, figures]);
  const neighbours = useMemo(() => neighboursOf(state), [mesh]);
  const wanted = typed.trim().toLowerCase();
  const common = { state, select: setSelection, wanted };
  // A large map has no figures: it is drawn again only when a peer or a link changes.
  const drawn = mesh.peers.length > MAX_LABELLED ? connections : peers;
  const map = useMemo(
    () => <NetworkMap {...common} peers={peers} neighbours={neighbours} selection={selection} />,
    [mesh, drawn, selection, wanted],
  );
  useEffect(() => {
    document.title = `${state.faults.list.some(({ severity }) => severity !== "note") ? "⚠ " : ""}${state.host.nickname} – Weave`;
  }, [state.faults, state.host]);
  return (
    <>
      <a class="skip" href="#peers">
        Go to the list of peers
      </a>
      <Header live={live} state={state} typed={typed} onType={setTyped} />
      <Banner live={live} />
      <main class={live.contact === "live" || live.contact === "refused" ? "" : "stale"}>
        <Faults faults={state.faults} select={setSelection} />
        <div class="upper">
          {map}
          <Details {...common} peers={peers} neighbours={neighbours} selection={selection} rates={live.rates} />
        </div>
        <Peers {...common} peers={peers} rates={live.rates} selection={selection} />
        <div class="pair">
          {state.addresses !== null && <Addresses {...common} addresses={state.addresses} selection={selection} />}
          <Containers {...common} selection={selection} />
        </div>
        {state.names !== null && <Names {...common} names={state.names} selection={selection} />}
        <Events run={live.restarted} wanted={wanted} />
      </main>
    </>
  );
}
