import type { ComponentChildren } from "preact";
import type { PageState } from "#router/page/page-state.js";
import { countText, percentText } from "./format.ts";
import type { PeerView, Select } from "./model.ts";

interface ObjectProps {
  readonly state: PageState;
  readonly peers: readonly PeerView[];
  readonly select: Select;
}

export const Fact = ({ name, children }: { readonly name: string; readonly children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);

export const Gone = () => (
  <>
    <h2 tabIndex={-1}>Gone</h2>
    <p>The router does not know it any more.</p>
  </>
);

/** A peer by its name, as a button that explains it. */
function PeerLink({ name, peers, select }: { readonly name: string } & Omit<ObjectProps, "state">) {
  const peer = peers.find((each) => each.name === name);
  return (
    <button type="button" class="link" onClick={() => select({ kind: "peer", key: name })}>
      {peer?.title ?? name}
    </button>
  );
}

export function SpanDetails({ state, start, ...common }: ObjectProps & { readonly start: string }) {
  const { addresses } = state;
  const span = addresses?.spans.find((each) => each.start === start);
  if (addresses === null || span === undefined) return <Gone />;
  return (
    <>
      <h2 tabIndex={-1}>Addresses from {span.start}</h2>
      <p>
        Only the owner of an address gives it to a container. Each host owns a part of {addresses.range}, and gets more
        from the others when it has none left.
      </p>
      <dl>
        <Fact name="Owner">
          <PeerLink name={span.owner} {...common} />
          {span.reachable ? "" : ", which is unreachable"}
        </Fact>
        <Fact name="Size">
          {countText(span.size)} addresses, {percentText((100 * span.size) / addresses.size)} of the range
        </Fact>
        <Fact name="Why">{span.cause || "unknown"}</Fact>
      </dl>
      <p class="hint">
        <code>weave explain {span.start}</code> has the whole history.
      </p>
    </>
  );
}

export function NameDetails({ state, found, ...common }: ObjectProps & { readonly found: string }) {
  const entry = state.names?.list.find((each) => nameKey(each) === found);
  if (entry === undefined) return <Gone />;
  return (
    <>
      <h2 tabIndex={-1}>{entry.name}</h2>
      <p>
        Containers of all hosts can ask weaveDNS for this name; with several addresses, they get them in changing order.
      </p>
      <dl>
        <Fact name="Address">
          <code>{entry.address}</code>
        </Fact>
        <Fact name="Holder">
          <code>{entry.container}</code>
        </Fact>
        <Fact name="Host">
          <PeerLink name={entry.peer} {...common} />
          {entry.away ? ", which is unreachable: the name is an answer only if there is no other" : ""}
        </Fact>
      </dl>
    </>
  );
}

/** Identifies a name: several holders may have the same one. */
export const nameKey = ({ name, address, container }: { name: string; address: string; container: string }): string =>
  `${name} ${address} ${container}`;

export function ContainerDetails({ state, id }: ObjectProps & { readonly id: string }) {
  const interfaces = state.containers.list.filter((each) => each.id === id);
  if (interfaces.length === 0) return <Gone />;
  const names = state.names?.list.filter(({ container }) => container !== "" && id.startsWith(container)) ?? [];
  const isHost = id === "weave:expose";
  return (
    <>
      <h2 tabIndex={-1}>{isHost ? "The bridge of this host" : id.slice(0, 24)}</h2>
      <p>
        {isHost
          ? "The host's own place on the network: 'weave expose' gives it addresses there."
          : "A container or network namespace of this host that is attached to the network."}
      </p>
      <dl>
        <Fact name="Identifier">
          <code>{id}</code>
        </Fact>
        {interfaces.map(({ mac, addresses }) => (
          <Fact key={mac} name="Interface">
            <code>{mac}</code> {addresses.join(", ") || "without an address"}
          </Fact>
        ))}
        <Fact name="Names">{names.map(({ name }) => name).join(", ") || "none"}</Fact>
      </dl>
    </>
  );
}
