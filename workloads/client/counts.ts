// What a client counts; tests and the fleet read it. Plain numbers, no names of anyone.
import type { Ask } from './connection-state.ts';
import type { InboxCounters } from './inbox.ts';

export interface ClientCounters extends InboxCounters {
  /** Questions to the registry, by kind. */
  readonly registryCalls: Readonly<Record<Ask, number>>;
  /** Sockets opened, and those that got their welcome. */
  readonly attempts: number;
  readonly welcomes: number;
  /** Welcomes by ticket. */
  readonly resumes: number;
  readonly goaways: number;
  /** Connections made anew because of a gap. */
  readonly resyncs: number;
  /** Ack frames sent. */
  readonly acks: number;
  /** Nack frames sent. */
  readonly nacks: number;
  /** Messages that the application dealt with, and deliveries that it failed at. */
  readonly handled: number;
  readonly nacked: number;
  /** Messages that were gone before their body could be fetched. */
  readonly bodiesGone: number;
}

export class Counts {
  readonly registryCalls: Record<Ask, number> = { register: 0, renew: 0, assign: 0 };
  attempts = 0;
  welcomes = 0;
  resumes = 0;
  goaways = 0;
  resyncs = 0;

  /** @param more what the other parts count */
  with(more: Omit<ClientCounters, keyof Counts>): ClientCounters {
    const { registryCalls, attempts, welcomes, resumes, goaways, resyncs } = this;
    return { ...more, registryCalls: { ...registryCalls }, attempts, welcomes, resumes, goaways, resyncs };
  }
}
