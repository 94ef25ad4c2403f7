// What a router has done, as plain numbers: the push path adds to them, metrics.ts reads them when /metrics is asked.
import type { WebhookOutcome } from './webhooks.ts';

/** How a hint (a delivery over a link) ended. What is not `taken` is left to the stream: the gateway finds it by itself (R1). */
export type HintOutcome =
  | 'taken'
  | 'slow'
  | 'not-here' // and no newer route either
  | 'moved' // sent again along a newer route
  | 'diverted' // over the bus, since the gateway's link fails: no answer comes
  | 'offline' // no route: nothing was sent
  | 'dropped' // no room towards the gateway, or it did not answer in time
  | 'unknown'; // the store could not tell the route: every gateway was told

export interface RouterCounts {
  /** Messages by `class/target/outcome`; outcome is the answer's state, `duplicate`, or the error's code. */
  readonly messages: Map<string, number>;
  readonly hints: Record<HintOutcome, number>;
  /** Jobs by `kind/outcome`: done, later, failed. */
  readonly jobs: Map<string, number>;
  readonly expansions: {
    begun: number;
    ended: number;
    /** `again`: appended before by a run that was cut short. `dead`: its stream was full. `unknown`: never registered. */
    readonly recipients: Record<'stored' | 'again' | 'dead' | 'unknown', number>;
  };
  /** Dead letters acted on, by `action/outcome`. */
  readonly deadLetterActions: Map<string, number>;
  /** Notices put as jobs, and those that the store did not take. */
  notices: number;
  noticesLost: number;
  /** Live topic messages not sent to a gateway that was behind. */
  liveMissed: number;
  /** Live messages handed to the router that owns their stream. */
  liveForwarded: number;
  storeFailures: number;
  busFailures: number;
  /** Bytes of bodies and attributes that were taken. */
  pushBytes: number;
  /** Posts of notices by how they ended. */
  webhooks: Record<WebhookOutcome, number>;
  /** Pushes that the bus took while the store was away, that were stored since, and that cannot be. */
  journal: { accepted: number; stored: number; refused: number };
  sweptEntries: number;
  sweptRoutes: number;
}

export function newRouterCounts(): RouterCounts {
  return {
    messages: new Map(),
    hints: { taken: 0, slow: 0, 'not-here': 0, moved: 0, diverted: 0, offline: 0, dropped: 0, unknown: 0 },
    jobs: new Map(),
    expansions: { begun: 0, ended: 0, recipients: { stored: 0, again: 0, dead: 0, unknown: 0 } },
    deadLetterActions: new Map(),
    notices: 0,
    noticesLost: 0,
    liveMissed: 0,
    liveForwarded: 0,
    storeFailures: 0,
    busFailures: 0,
    pushBytes: 0,
    webhooks: { delivered: 0, again: 0, refused: 0, dropped: 0, unwanted: 0, unreadable: 0 },
    journal: { accepted: 0, stored: 0, refused: 0 },
    sweptEntries: 0,
    sweptRoutes: 0,
  };
}

export function countMessage(
  counts: RouterCounts,
  labels: readonly [cls: string, target: string, outcome: string],
): void {
  const key = labels.join('/');
  counts.messages.set(key, (counts.messages.get(key) ?? 0) + 1);
}
