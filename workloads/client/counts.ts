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
  /** Messages that the application dealt with. */
  readonly handled: number;
}

export class Counts {
  readonly registryCalls: Record<Ask, number> = { register: 0, renew: 0, assign: 0 };
  attempts = 0;
  welcomes = 0;
  resumes = 0;
  goaways = 0;
  resyncs = 0;
  acks = 0;

  with(inbox: InboxCounters, handled: number): ClientCounters {
    const { registryCalls, attempts, welcomes, resumes, goaways, resyncs, acks } = this;
    return {
      ...inbox,
      registryCalls: { ...registryCalls },
      attempts,
      welcomes,
      resumes,
      goaways,
      resyncs,
      acks,
      handled,
    };
  }
}
