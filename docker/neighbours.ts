import type { ContainerObserver } from "#docker/containers.js";
import type { Container } from "#docker/engine/shapes.js";
import { neighbourSettings } from "#src/host/attach.js";
import { run } from "#src/host/exec.js";

/** Interfaces of one container that are on networks of ours, at most. */
const MAX_INTERFACES = 8;

/** Containers on Docker networks of ours find out soon when a neighbour has moved. Docker itself sets nothing of this. */
export class Neighbours implements ContainerObserver {
  readonly #isOurs: (network: string) => boolean;

  constructor(isOurs: (network: string) => boolean) {
    this.#isOurs = isOurs;
  }

  async running({ State, NetworkSettings }: Container): Promise<void> {
    const ends = Object.values(NetworkSettings.Networks).filter(({ NetworkID }) => this.#isOurs(NetworkID));
    if (ends.length === 0) return;
    // Numbers are Docker's, and those of networks left are not used again at once: one too many costs nothing.
    const devices = Array.from({ length: Math.min(ends.length + 1, MAX_INTERFACES) }, (_, index) => `ethwe${index}`);
    const script = devices.map(neighbourSettings).join("; ");
    // A container that has ended meanwhile needs nothing any more.
    await run("sh", ["-c", `${script}; true`], { netns: `/proc/${State.Pid}/ns/net` }).catch(() => {});
  }

  ended(): void {}
}
