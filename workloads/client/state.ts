// What an application is shown of the connection: one word and what explains it. connector.ts calls it after each step, client.ts adds what the
// gateway said of its load.
import type { Closed, ConnectionState } from './connection-state.ts';
import type { Degraded } from './degradation.ts';

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
}

export function describeState(state: ConnectionState): ClientState {
  const { serving, problem, closed } = state;
  return { kind: kindOf(state), gateway: serving?.gateway ?? null, problem, closed, degraded: null };
}

function kindOf(state: ConnectionState): ClientState['kind'] {
  if (state.closed !== null) return 'closed';
  if (state.serving !== null) return state.moving ? 'moving' : 'live';
  if (state.asking !== null) return 'registering';
  if (state.attempt !== null) return 'connecting';
  return state.pauseUntilMs === null ? 'idle' : 'waiting';
}
