import { z } from "zod/mini";
import { type Cidr, parseCidr } from "#src/address.js";
import { textOf, WeaveError } from "#src/errors.js";
import { outsideNames } from "#src/host/attached.js";
import { addAddress, removeAddress } from "#src/host/bridge.js";
import { type Firewall, type FirewallState, firewallMissing, notDockerBridges } from "#src/host/firewall.js";
import { findLink, ipv4Of } from "#src/host/links.js";
import { checkTakesNothing } from "#src/host/routes.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";
import { readStored, type Store } from "#src/store.js";

const KEY = "exposed";
/** As the original. */
const GUARD_MS = 10_000;
const MAX_EXPOSED = 256;
const shape = z.array(z.object({ cidr: z.string(), masquerade: z.boolean() })).check(z.maxLength(MAX_EXPOSED));

/** What does not change while the router runs. */
export type FixedRules = Omit<FirewallState, "exposed" | "notDocker">;
type Entry = z.infer<typeof shape>[number];

const problemOf = (cidr: Cidr): string => `exposed ${cidr.text}`;

/** The host's own addresses on the overlay. Kept on disk, so that they are there again after a reboot. */
export class Exposure {
  readonly #store: Store;
  readonly #bridge: string;
  readonly #rules: FixedRules;
  readonly #firewall: Firewall | undefined;
  readonly #log: Log;
  readonly #problems: Problems;
  readonly #guard: NodeJS.Timeout;
  #entries: Entry[];
  /** As in the rules that were applied last. */
  #notDocker: readonly string[] = [];
  /** One change at a time: each is several steps on the host. */
  #last: Promise<unknown> = Promise.resolve();

  /** @throws WEAVE_STORE */
  constructor(options: {
    store: Store;
    rules: FixedRules;
    firewall: Firewall | undefined;
    log: Log;
    problems: Problems;
  }) {
    this.#store = options.store;
    this.#rules = options.rules;
    this.#bridge = options.rules.bridge;
    this.#firewall = options.firewall;
    this.#log = options.log;
    this.#problems = options.problems;
    this.#guard = setInterval(() => void this.#lookAfter(), GUARD_MS).unref();
    this.#entries = readStored(options.store, KEY, shape, "'weave reset' starts anew.") ?? [];
  }

  /** What is exposed, in CIDR notation. */
  get addresses(): string[] {
    return this.#entries.map(({ cidr }) => cidr);
  }

  /** Puts back what was exposed before, and the firewall rules that are always there. */
  restore(): Promise<void> {
    return this.#queue(async () => {
      for (const { cidr } of this.#entries) await this.#restoreAddress(parseCidr(cidr));
      await this.#applyRules();
    });
  }

  /**
   * Gives the host an address on the bridge. Repeating it changes nothing.
   *
   * @param hosts addresses that must stay reachable as they are
   * @throws WEAVE_TOOL_MISSING, WEAVE_FIREWALL, WEAVE_ADDRESS_INVALID
   */
  expose(cidr: Cidr, masquerade: boolean, hosts: readonly string[]): Promise<void> {
    return this.#queue(async () => {
      await checkTakesNothing(cidr, this.#bridge, hosts);
      if (masquerade && this.#firewall === undefined) throw firewallMissing();
      const others = this.#entries.filter((entry) => entry.cidr !== cidr.text);
      if (others.length >= MAX_EXPOSED)
        throw new WeaveError("WEAVE_ADDRESS_INVALID", `more than ${MAX_EXPOSED} addresses are exposed`);
      this.#save([...others, { cidr: cidr.text, masquerade }]);
      await addAddress(this.#bridge, cidr.text);
      this.#problems.clear(problemOf(cidr));
      await this.#applyRules();
    });
  }

  /** Takes an address off the bridge. One that is not there is no error. */
  hide(cidr: Cidr): Promise<void> {
    return this.#queue(async () => {
      this.#save(this.#entries.filter((entry) => entry.cidr !== cidr.text));
      this.#problems.clear(problemOf(cidr));
      const link = await findLink(this.#bridge);
      if (link !== undefined && ipv4Of(link).includes(cidr.text)) await removeAddress(this.#bridge, cidr.text);
      await this.#applyRules();
    });
  }

  stop(): void {
    clearInterval(this.#guard);
  }

  /** `firewalld --reload`, `iptables -F` and `nft flush ruleset` take away what is not theirs. */
  #lookAfter(): Promise<void> {
    return this.#queue(async () => {
      if (this.#firewall === undefined) return;
      if (!(await this.#firewall.intact()))
        this.#log.warn("the firewall rules of weave were changed by another program; they are restored");
      else if ((await this.#findNotDocker()).join() === this.#notDocker.join()) return;
      await this.#applyRules();
    }).catch((error) => this.#log.warn("the firewall rules could not be restored", { why: textOf(error) }));
  }

  /** The host's networks may have changed since: then the address stays away, and status says so. */
  async #restoreAddress(cidr: Cidr): Promise<void> {
    try {
      await checkTakesNothing(cidr, this.#bridge, []);
      await addAddress(this.#bridge, cidr.text);
      this.#problems.clear(problemOf(cidr));
    } catch (error) {
      this.#problems.set(
        problemOf(cidr),
        `the exposed address is not there: ${textOf(error)} 'weave hide ${cidr.text}' gives it up.`,
      );
    }
  }

  #save(entries: Entry[]): void {
    this.#store.put(KEY, entries);
    this.#entries = entries;
  }

  async #applyRules(): Promise<void> {
    const exposed = this.#entries.map(({ cidr, masquerade }) => ({ subnet: parseCidr(cidr).subnet, masquerade }));
    this.#notDocker = await this.#findNotDocker();
    await this.#firewall?.apply({ ...this.#rules, exposed, notDocker: this.#notDocker });
  }

  async #findNotDocker(): Promise<string[]> {
    return this.#rules.dockerBridge === undefined ? [] : notDockerBridges([...(await outsideNames())]);
  }

  #queue(task: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(task, task);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
