// The command `push`: one message or a batch, within the app's quotas; then push.ts. POST /v1/messages is it over HTTP.
import type { AppDefinition } from '../../../protocol/apps.ts';
import { RefusedError } from '../../../protocol/codes.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { describeError } from '../../../runtime/http.ts';
import type { Log } from '../../../runtime/log.ts';
import { StoreUnavailableError } from '../../../store/port.ts';
import type { Store } from '../../../store/port.ts';
import type { CommandAnswer, CommandHandler } from '../commands.ts';
import type { Ledgers } from '../../results/ledger.ts';
import type { Accepted } from '../../push/accepted.ts';
import type { Pusher } from '../../push/push.ts';
import type { Quotas } from '../quota.ts';
import { batchOf, parsePush } from '../request.ts';
import type { ParsePushOptions } from '../request.ts';
import type { Target } from '../request-target.ts';

export interface PushDeps {
  readonly quotas: Quotas;
  readonly pusher: Pusher;
  readonly ledgers: Ledgers;
  readonly clock: Clock;
  readonly store: Pick<Store, 'groupMembers'>;
}

/** Streams drain as devices come back: worth asking again in a while. */
const WAITING_RETRY_MS = 5000;

export function pushCommand(deps: PushDeps): CommandHandler {
  return async ({ app, input, headerKey, log }) => {
    const batch = batchOf(input);
    if (batch === null) return { status: 202, body: await pushOne(deps, app, { value: input, at: '', headerKey }) };
    if (headerKey === null) return await pushBatch(deps, log, { app, batch });
    throw new RefusedError(
      'invalid-request',
      'Idempotency-Key: expected an idempotencyKey in each message of a batch',
      { field: 'Idempotency-Key' },
    );
  };
}

/** Takes the quota only for what is well formed. Rejects with RefusedError. */
export async function pushOne(
  deps: PushDeps,
  app: AppDefinition,
  message: { readonly value: unknown } & Omit<ParsePushOptions, 'nowMs'>,
): Promise<Accepted> {
  const push = parsePush(message.value, { ...message, nowMs: deps.clock.nowMs() });
  const { target } = push;
  const recipients = target.kind === 'group' ? await sizeOf(deps, app, target.group) : recipientsOf(target);
  takeQuota(deps, app, { recipients, bytes: push.body.length });
  if (app.quotas.waitingMax !== undefined && push.class === 'durable')
    await assertRoom(deps, app, { recipients, most: app.quotas.waitingMax });
  return await deps.pusher.push(app, push);
}

/** Names of a list; of a topic 1: who hears it is counted in the ledger. */
function recipientsOf(target: Target): number {
  if (target.kind === 'devices') return target.devices.length;
  return target.kind === 'accounts' ? target.accounts.length : 1;
}

/** Members of a group, asked where a quota counts them; one that is not there is refused later. */
async function sizeOf({ store }: PushDeps, app: AppDefinition, group: string): Promise<number> {
  if (app.quotas.recipientsPerSecond === undefined && app.quotas.waitingMax === undefined) return 1;
  const page = await store.groupMembers(app.name, group, { after: null, limit: 1 });
  return Math.max(1, page?.members ?? 0);
}

function takeQuota(deps: PushDeps, app: AppDefinition, cost: { recipients: number; bytes: number }): void {
  const held = deps.quotas.take(app, deps.clock.monotonicMs(), cost);
  if (held === null) return;
  const of = { messagesPerSecond: 'messages', recipientsPerSecond: 'recipients', bytesPerSecond: 'bytes' }[held.quota];
  throw new RefusedError(
    'rate-limited',
    `expected at most ${app.quotas[held.quota]} ${of} a second of app ${app.name}`,
    {
      field: `quotas.${held.quota}`,
      retryAfterMs: held.waitMs,
    },
  );
}

/** While the store cannot tell how much waits, the push goes on: it meets the store itself next. */
async function assertRoom(deps: PushDeps, app: AppDefinition, of: { recipients: number; most: number }): Promise<void> {
  let waiting: number;
  try {
    waiting = await deps.ledgers.waiting(app.name);
  } catch (error) {
    if (error instanceof StoreUnavailableError) return;
    throw error;
  }
  if (waiting + of.recipients <= of.most) return deps.ledgers.added(app.name, of.recipients);
  throw new RefusedError(
    'waiting-full',
    `expected at most ${of.most} deliveries of app ${app.name} that wait, and ${waiting} do`,
    { field: 'quotas.waitingMax', retryAfterMs: WAITING_RETRY_MS },
  );
}

/** All in one tick, in their order; each succeeds or fails by itself. 202: all were accepted; 207: see the results. */
async function pushBatch(
  deps: PushDeps,
  log: Log,
  { app, batch }: { app: AppDefinition; batch: readonly unknown[] },
): Promise<CommandAnswer> {
  const settled = await Promise.allSettled(
    batch.map((value, i) => pushOne(deps, app, { value, at: `messages[${i}]`, headerKey: null })),
  );
  let refused = 0;
  let retryAfterMs = 0;
  const results = settled.map((outcome) => {
    if (outcome.status === 'fulfilled') return outcome.value;
    refused++;
    const error: unknown = outcome.reason;
    if (!(error instanceof RefusedError)) {
      log.error({ err: error }, 'a message of a batch failed by a bug');
      return { error: { code: 'internal', message: 'an error of the server' } };
    }
    retryAfterMs = Math.max(retryAfterMs, error.retryAfterMs ?? 0);
    return { error: describeError(error) };
  });
  const body = { accepted: results.length - refused, refused, results };
  if (refused === 0) return { status: 202, body };
  if (retryAfterMs === 0) return { status: 207, body };
  return { status: 207, body, headers: { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } };
}
