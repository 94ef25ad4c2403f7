// Drives the connection's state machine by hand, for its tests.
import assert from 'node:assert/strict';
import { step, wakeAtMs } from './connection.ts';
import { CONNECTION_DEFAULTS, initialConnection } from './connection-state.ts';
import type { ConnectionEffect, ConnectionEvent, ConnectionState, Credentials } from './connection-state.ts';

export const T0 = 1_800_000_000_000;
export const RETRY = { baseMs: 500, maxMs: 30_000 };
export const ANSWER = {
  type: 'registry-answered',
  token: { value: 'token-1', expiresAtMs: T0 + 3_600_000 },
  gateways: [
    { name: 'gw-0', url: 'ws://gw-0' },
    { name: 'gw-1', url: 'ws://gw-1' },
  ],
  heartbeatIntervalMs: 25_000,
  retry: RETRY,
} as const satisfies ConnectionEvent;

/** Drives the machine by hand: time moves only when told. */
export class Driver {
  state: ConnectionState;
  nowMs = T0;
  effects: readonly ConnectionEffect[] = [];
  constructor(seed = 1, kept: Credentials | null = null) {
    this.state = initialConnection({ seed, options: CONNECTION_DEFAULTS, retry: RETRY, kept });
  }
  do(event: ConnectionEvent): readonly ConnectionEffect[] {
    const next = step(this.state, event, this.nowMs);
    this.state = next.state;
    this.effects = next.effects;
    return next.effects;
  }
  /** To the next tick that the machine wants. */
  wake(): readonly ConnectionEffect[] {
    const at = wakeAtMs(this.state);
    assert.notEqual(at, null, 'expected the machine to want a tick');
    this.nowMs = Math.max(this.nowMs, at!);
    return this.do({ type: 'tick' });
  }
  /** Welcomes the attempt under way. */
  welcome(more: { ticket?: string; targets?: readonly string[] } = {}): readonly ConnectionEffect[] {
    const conn = this.state.attempt!.conn;
    this.do({ type: 'opened', conn });
    return this.do({
      type: 'welcomed',
      conn,
      gateway: this.state.attempt!.url.slice(5),
      ticket: more.ticket ?? `ticket-${conn}`,
      targets: more.targets ?? ['ws://gw-1'],
      heartbeatIntervalMs: 25_000,
    });
  }
  close(code: number, reason = ''): readonly ConnectionEffect[] {
    return this.do({ type: 'closed', conn: (this.state.attempt ?? this.state.serving)!.conn, code, reason });
  }
}

export function aLiveOne(seed = 1): Driver {
  const d = new Driver(seed);
  d.do({ type: 'start' });
  d.do(ANSWER);
  d.welcome();
  return d;
}
export const types = (effects: readonly ConnectionEffect[]): string => effects.map((effect) => effect.type).join(' ');
