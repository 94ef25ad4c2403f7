// What an application is shown of the connection: one word and what explains it. connector.ts calls it after each step, client.ts adds what the
// gateway said of its load, and what waits to be sent.
import type { Closed, ConnectionState } from './connection-state.ts';
import type { Degraded } from './degradation.ts';
import type { PutOff } from './outgoing.ts';

export interface ClientState {
  /**
   * registering: the registry is asked. connecting: a gateway is tried. live: messages flow. moving: they flow, and the next gateway is
   * being tried. waiting: until the next attempt. closed: for good.
   */
  readonly kind: 'idle' | 'registering' | 'connecting' | 'live' | 'moving' | 'waiting' | 'closed';
  /** Name of the gateway that serves; null: none. */
  readonly gateway: string | null;
  /** What went wrong last, in words. */
  readonly problem: string | null;
  /** Why it is closed. */
  readonly closed: Closed | null;
  /** The gateway sheds load; null: it does not. */
  readonly degraded: Degraded | null;
  readonly outgoing: OutgoingState;
}

/** Messages of this client, to its business and to other clients, that are kept and not taken yet. */
export interface OutgoingState {
  readonly waiting: number;
  /** Why, where a gateway put them off: they are sent again by themselves, for as long as it takes. Null: it did not. */
  readonly putOff: PutOff | null;
}

const NOTHING: OutgoingState = { waiting: 0, putOff: null };

export function describeState(state: ConnectionState): ClientState {
  const { serving, problem, closed } = state;
  return { kind: kindOf(state), gateway: serving?.gateway ?? null, problem, closed, degraded: null, outgoing: NOTHING };
}

function kindOf(state: ConnectionState): ClientState['kind'] {
  if (state.closed !== null) return 'closed';
  if (state.serving !== null) return state.moving ? 'moving' : 'live';
  if (state.asking !== null) return 'registering';
  if (state.attempt !== null) return 'connecting';
  return state.pauseUntilMs === null ? 'idle' : 'waiting';
}
