// Live messages: not stored, sent along routes and to the gateways of a topic, now or never. Who is not there misses them.
import type { AppDefinition } from '../../protocol/apps.ts';
import { RefusedError } from '../../protocol/codes.ts';
import type { AccountId, DeviceId, MessageId } from '../../protocol/ids.ts';
import type { Store } from '../../store/port.ts';
import type { LivePath } from '../delivery/live-path.ts';
import { BUSY_RETRY_MS } from '../delivery/live-queue.ts';
import type { Push } from '../api/request.ts';
import { LIVE_RECIPIENTS_MAX } from '../api/schemas/message.ts';
import type { Accepted } from './accepted.ts';
import { compose } from './compose.ts';
import { devicesOfAccounts, groupAccounts, requireDevices } from './recipients.ts';

export interface LiveSenderOptions {
  readonly store: Pick<Store, 'accountDevices' | 'groupMembers'>;
  readonly live: Pick<LivePath, 'toTopic' | 'toDevice'>;
}

/** Rejects with RefusedError 'overloaded' when gateways take nothing now, or as the store does. */
export async function sendLive(
  options: LiveSenderOptions,
  app: AppDefinition,
  { push, id }: { readonly push: Push; readonly id: MessageId },
): Promise<Accepted> {
  const { live } = options;
  const { record } = compose(app, push, id);
  const { lane, target } = push;
  if (target.kind === 'topic') {
    const gateways = await live.toTopic(app.name, target.topic, record);
    return { id, state: 'sent', recipients: 1, gateways };
  }
  const devices = await devicesOf(options, app, push);
  const sent = await Promise.all(devices.map((device) => live.toDevice(app.name, device, { lane, record })));
  const online = sent.filter(({ outcome }) => outcome === 'sent');
  // Where the store cannot tell, everyone counts as online (C9): it went to every gateway.
  const unknown = sent.filter(({ outcome }) => outcome === 'unknown');
  const recipients = online.length + unknown.length;
  if (unknown.length > 0) return { id, state: 'sent', recipients };
  if (recipients > 0) {
    const gateways = new Set(online.map(({ bootId }) => bootId)).size;
    return { id, state: 'sent', recipients, online: recipients, gateways };
  }
  if (sent.some(({ outcome }) => outcome === 'busy'))
    throw new RefusedError('overloaded', 'the gateway of the device takes nothing now', {
      retryAfterMs: BUSY_RETRY_MS,
    });
  return { id, state: 'offline', recipients: 0, online: 0, gateways: 0 };
}

async function devicesOf(options: LiveSenderOptions, app: AppDefinition, push: Push): Promise<readonly DeviceId[]> {
  const { target } = push;
  switch (target.kind) {
    case 'device':
      return [target.device];
    case 'account':
      return requireDevices(await options.store.accountDevices(app.name, target.account), target.account);
    case 'devices':
      return target.devices;
    case 'accounts':
      return await devicesOfAccounts(options.store, app.name, target.accounts);
    case 'group':
      return await devicesOfAccounts(options.store, app.name, await liveMembers(options, app, target.group));
    case 'topic':
      return [];
  }
}

async function liveMembers(
  options: LiveSenderOptions,
  app: AppDefinition,
  group: string,
): Promise<readonly AccountId[]> {
  const accounts = await groupAccounts(options.store, app.name, group);
  if (accounts.length <= LIVE_RECIPIENTS_MAX) return accounts;
  throw new RefusedError(
    'invalid-request',
    `target.group: expected at most ${LIVE_RECIPIENTS_MAX} members with class live, got ${accounts.length}`,
    { field: 'target.group' },
  );
}
