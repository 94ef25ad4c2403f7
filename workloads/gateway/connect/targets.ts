// Where clients of this gateway may resume: from the routing document that the operator hands to the admin port. Best effort: without
// it the lists are empty and clients use what the registry gave them. welcome, pong and goaway carry these lists.
import type { RoutingDocument } from '../../protocol/routing.ts';

/** Addresses handed to one client: this gateway and two others. */
const OTHERS_MAX = 2;

export class Targets {
  readonly #name: string;
  #document: RoutingDocument | null = null;
  #own: string[] = [];
  #others: string[] = [];
  #turn = 0;

  constructor(name: string) {
    this.#name = name;
  }

  get revision(): string | null {
    return this.#document?.revision ?? null;
  }

  update(document: RoutingDocument): void {
    this.#document = document;
    const eligible = document.gateways.filter((gateway) => gateway.weight > 0 && gateway.state === 'active');
    this.#own = eligible.filter((gateway) => gateway.name === this.#name).map((gateway) => gateway.addresses.ws);
    this.#others = eligible.filter((gateway) => gateway.name !== this.#name).map((gateway) => gateway.addresses.ws);
  }

  /** For a client that may be cut off: back here first, where its route is, then others in turn, so that a crash spreads its clients. */
  forResume(): string[] {
    return [...this.#own, ...this.#rotated(this.#others).slice(0, OTHERS_MAX)];
  }

  /** For a client that is asked to leave: each starts at the next one, so that the first address does not get them all. */
  forLeaving(given: readonly string[]): string[] {
    return this.#rotated(given.length > 0 ? given : this.#others);
  }

  #rotated(addresses: readonly string[]): string[] {
    if (addresses.length < 2) return [...addresses];
    const at = this.#turn++ % addresses.length;
    return [...addresses.slice(at), ...addresses.slice(0, at)];
  }
}
