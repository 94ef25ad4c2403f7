// The way to one life of a gateway: its link, or the bus while the link's circuit is open (C7). No change of way reorders: durable
// entries carry positions, live messages stamps (R11), and the gateway keeps to both. gateways.ts makes one for each lease.
import type { Reply } from '../../protocol/link.ts';
import type { GatewayLease } from '../../store/port.ts';
import type { Broadcast } from './broadcast.ts';
import { CLOSED, probed, stepCircuit, tickCircuit, wayOf } from './circuit.ts';
import type { Circuit, CircuitEvent, Way } from './circuit.ts';
import { GatewayLink, isLive } from './gateway-link.ts';
import type { Delivery, GatewayLinkOptions, Question, Sent } from './gateway-link.ts';

export interface GatewayPathOptions extends Omit<GatewayLinkOptions, 'onDown'> {
  /** Null: there is no bus, and everything goes over the link. */
  readonly broadcast: Broadcast | null;
}
export type Offered = 'sent' | 'kept' | 'diverted' | 'full';

/** An answer that is owed for so long counts as a failure, at each tick anew. */
export const OVERDUE_MS = 2000;

export class GatewayPath {
  readonly lease: GatewayLease;
  /** Set while live senders do not wait for this gateway, because it was behind for too long. */
  stalled = false;
  readonly #options: GatewayPathOptions;
  readonly #link: GatewayLink;
  #circuit: Circuit = CLOSED;

  constructor(options: GatewayPathOptions) {
    this.lease = options.lease;
    this.#options = options;
    this.#link = new GatewayLink({
      ...options,
      onAnswer: (sent, answer) => {
        this.#step('succeeded');
        options.onAnswer(sent, answer);
      },
      onDown: () => this.#step('failed'),
    });
  }

  get circuit(): Circuit['state'] {
    return this.#circuit.state;
  }
  /** The link stands. */
  get isUp(): boolean {
    return this.#link.isUp;
  }
  get unanswered(): number {
    return this.#link.unanswered;
  }
  /** Whether a live message can go there at all now. */
  get isReachable(): boolean {
    return this.#way() === 'direct' ? this.#link.isUp : this.#options.broadcast!.isOpen;
  }
  /** Whether another live topic message may go now. */
  get hasLiveRoom(): boolean {
    return this.#way() === 'direct' ? this.#link.hasLiveRoom : this.#options.broadcast!.isOpen;
  }

  /** A durable delivery: on its way, or kept until the link stands. `full`: neither; it is left to the stream. */
  offer(delivery: Delivery, moves = 0): Offered {
    const way = this.#way();
    if (way === 'direct') return this.#link.offer(delivery, moves);
    this.#divert(delivery, moves);
    if (way === 'probe' && this.#link.isUp && this.#link.offer(delivery, moves) === 'sent') this.#probe();
    return 'diverted';
  }

  /** A live delivery: now or never. */
  offerLive(delivery: Delivery, moves = 0): boolean {
    const way = this.#way();
    if (way === 'direct') return this.#link.offerLive(delivery, moves);
    this.#divert(delivery, moves);
    if (way === 'probe' && this.#link.offerLive(delivery, moves)) this.#probe();
    return true;
  }

  /** Asks this life of the gateway; null: no reply. */
  ask(question: Question, timeoutMs: number): Promise<Reply | null> {
    return this.#link.ask(question, timeoutMs);
  }

  /** Now and then: what waited too long is dropped (answers how many), and the circuit looks at the time. */
  tick(nowMs: number): number {
    const dropped = this.#link.dropStale(nowMs);
    if (this.#link.oldestUnansweredMs(nowMs) >= OVERDUE_MS) this.#step('failed');
    this.#set(tickCircuit(this.#circuit, nowMs));
    return dropped;
  }

  /** Ends the link; answers the deliveries that nobody answered. */
  close(how: 'close' | 'kill'): readonly Sent[] {
    return this.#link.close(how);
  }

  /** With the bus away too there is only the link, whatever its state. */
  #way(): Way {
    if (this.#circuit.state === 'closed') return 'direct';
    return this.#options.broadcast?.isOpen === true ? wayOf(this.#circuit) : 'direct';
  }

  #divert(delivery: Delivery, moves: number): void {
    this.#options.broadcast?.send(delivery, this.lease.bootId, () => {
      if (!isLive(delivery)) this.#link.offer(delivery, moves);
    });
  }
  #probe(): void {
    this.#circuit = probed(this.#circuit, this.#options.clock.monotonicMs());
  }
  #step(event: CircuitEvent): void {
    if (event === 'succeeded' && this.#circuit === CLOSED) return;
    this.#set(stepCircuit(this.#circuit, event, this.#options.clock.monotonicMs()));
  }
  #set(next: Circuit): void {
    const before = this.#circuit.state;
    this.#circuit = next;
    if (before === next.state) return;
    const { log, lease, broadcast } = this.#options;
    log.warn({ gateway: lease.gateway, circuit: next.state, before }, 'circuit of a gateway changed');
    if (next.state === 'open' && broadcast?.isOpen === true)
      for (const { delivery, moves } of this.#link.takeKept()) this.#divert(delivery, moves);
    this.#options.onRoom();
  }
}
