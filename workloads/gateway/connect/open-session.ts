// Opening a session in the store: what connect.ts does for a client that comes, and provisional.ts once the store is back for those that
// came while it was away. From its answer on the store names this gateway, so that reading is safe (R1).
import { TOPIC_ALL } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { OpenedSession } from '../../store/port.ts';
import { missingOf } from '../backlog/backlog-plan.ts';
import type { Connection } from './connection.ts';
import { closeReplaced } from '../delivery/deliver.ts';
import type { Gateway } from '../gateway.ts';
import type { Permission } from './session.ts';
import type { Place } from './start.ts';

export type Opened = Extract<OpenedSession, { kind: 'opened' }>;

/** Whose session, and by what right. */
export interface Opening {
  readonly permission: Permission;
  /** By ticket: the generation that must still be the present one. Null: newest wins. */
  readonly expectGeneration: number | null;
  /** By token: id and end, to register a device that the store does not know. */
  readonly token: { readonly id: string; readonly expiresAtMs: number } | null;
}

/** Rejects as the store does. */
export async function askStore(gateway: Gateway, opening: Opening): Promise<OpenedSession> {
  const { token, expectGeneration } = opening;
  const { app, account, device, issuedAtS } = opening.permission;
  const route = { gateway: gateway.name, bootId: gateway.bootId, permittedAtMs: issuedAtS * 1000 };
  const request = { app, account, device, ...route, expectGeneration };
  const opened = await gateway.store.openSession(request);
  if (opened.kind !== 'device-unknown' || token === null) return opened;
  const registered = await gateway.store.registerDevice({
    app,
    account,
    device,
    tokenId: token.id,
    tokenExpiresAtMs: token.expiresAtMs,
    accountDevicesMax: LIMITS.accountDevicesMax,
  });
  return registered === 'account-full' ? { kind: 'revoked' } : gateway.store.openSession(request);
}

/** The connection that a session takes over from is told, here or at the gateway that holds it (R8). */
export function tellReplaced(
  gateway: Gateway,
  { app, device }: Permission,
  { generation, replaced }: Opened,
  resumed: boolean,
): void {
  const newer = { app, device, generation, resumed };
  closeReplaced(gateway, newer);
  if (replaced !== null && replaced.bootId !== gateway.bootId) gateway.peers.tellReplaced(replaced, newer);
}

/**
 * A device hears `$all` from its first session on. While nobody has written it there is no position that its client could come back with,
 * so the store keeps a row that says so; a stream that was written is told in the welcome, and its row follows with the cursors (R5).
 */
export async function withEveryone(gateway: Gateway, { app, device }: Permission, opened: Opened): Promise<Opened> {
  if (opened.topics.some(({ topic }) => topic === TOPIC_ALL)) return opened;
  if ((gateway.directory.app(app).channels.get(TOPIC_ALL)?.epoch ?? null) !== null) return opened;
  const rows = await gateway.store.subscribe(app, device, [{ topic: TOPIC_ALL, filter: null }]);
  return { ...opened, topics: [...opened.topics, ...rows] };
}

/** How much a device is behind, as far as that is known before anything is read. */
export function missingEntries(
  { gateway, session }: Connection,
  opened: Opened,
  claims: ReadonlyMap<StreamName, Place>,
): number {
  let sum = 0;
  for (const lane of opened.lanes) sum += missingOf(lane, claims.get(`@${lane.lane}`) ?? null);
  const { channels } = gateway.directory.app(session!.permission.app);
  for (const { topic, epoch, offset } of opened.topics) {
    const channel = channels.get(topic);
    const from = claims.get(topic) ?? { epoch, offset };
    if (channel !== undefined && channel.epoch === from.epoch) sum += Math.max(0, channel.head - from.offset);
  }
  return sum;
}
