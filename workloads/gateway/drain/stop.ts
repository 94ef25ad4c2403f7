// The graceful end, what SIGTERM does: no new clients, goaway for everyone at a rate that fits the grace, the rest closed at its end,
// then what the clients acked reaches the store and the lease is dropped. role.ts calls it once.
import type { Gateway } from '../gateway.ts';

/** Share of the grace in which everyone has been asked: the rest is for the last ones to go. */
const ASKING_SHARE = 0.6;
const LOOK_MS = 20;
/** After the close frames clients have so long to answer them. */
const FAREWELL_MS = 1000;

/** Resolves when no client is left and the store has what it can have. */
export async function leaveGracefully(gateway: Gateway): Promise<void> {
  const { state, drain, settings, clock, directory } = gateway;
  state.life = 'stopping';
  const nowMs = clock.nowMs();
  const before = drain.order;
  // The deadline of a drain that is under way is not put off: whoever has not found another place by then does not find one.
  const drainEndsAtMs = before?.count === undefined ? (before?.deadlineMs ?? Infinity) : Infinity;
  const endsAtMs = Math.min(nowMs + settings.stopGraceMs, drainEndsAtMs);
  // A drain that is under way goes on at its own rate where that suffices: the budget is the cluster's.
  const askingS = Math.max(0.001, (settings.stopGraceMs * ASKING_SHARE) / 1000);
  const rate = Math.max(settings.stopRatePerSecond, directory.connections.length / askingS);
  const targets = before?.targets ?? [];
  drain.put({
    generation: before?.count === undefined ? (before?.generation ?? 'stop') : 'stop',
    reason: 'stopping',
    rate,
    deadlineMs: endsAtMs,
    targets,
  });
  await until(gateway, endsAtMs, () => directory.connections.length === 0);
  for (const connection of directory.connections) connection.close('stopping');
  await until(gateway, clock.nowMs() + FAREWELL_MS, () => directory.connections.length === 0);
  for (const connection of directory.connections) connection.socket.terminate();
  drain.stop();
  await flushAll(gateway);
}

/** What the store should still get. Bounded by the store's own timeouts. */
export async function flushAll(gateway: Gateway): Promise<void> {
  const { settles, cursorFlush, attempts, departures, satisfied, presence } = gateway;
  await Promise.all([settles.flush(), cursorFlush.flushAll(), attempts.flush(), departures.flush()]);
  await Promise.all([satisfied.flush(), presence.flush()]);
}

function until({ clock }: Gateway, endsAtMs: number, isDone: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (isDone() || clock.nowMs() >= endsAtMs) resolve();
      else clock.after(LOOK_MS, look);
    };
    look();
  });
}
