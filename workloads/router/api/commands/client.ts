// What clients may ask, by way of their gateway: to send to a device, an account or a group, and to make, join and leave groups. Within
// what the app allows, at a rate for each device; the server writes who it comes from, and names of keys cannot meet those of others.
import { hash } from 'node:crypto';
import type { AppDefinition } from '../../../protocol/apps.ts';
import { RefusedError } from '../../../protocol/codes.ts';
import { parseAccountId, parseGroupName } from '../../../protocol/ids.ts';
import { LIMITS } from '../../../protocol/limits.ts';
import type { ClientRates } from '../../doors/client-rate.ts';
import type { CommandAsk, CommandTable } from '../commands.ts';
import { changeGroup, createGroup, groupPage } from '../groups.ts';
import type { GroupPage, GroupStore } from '../groups.ts';
import { Input } from '../input.ts';
import type { Origin } from '../request-content.ts';
import { PAGE } from './answers.ts';
import { pushOne } from './push.ts';
import type { PushDeps } from './push.ts';

export interface ClientDeps extends PushDeps {
  readonly store: GroupStore;
  readonly rates: ClientRates;
}

type Allowed = NonNullable<AppDefinition['clientMessaging']>;
const OPS = ['create', 'join', 'leave', 'members', 'delete'] as const;
/** Of a frame: its type and number say nothing here. */
const FRAME = ['type', 'id'] as const;

export function clientCommands(deps: ClientDeps): CommandTable {
  return {
    send: async (ask) => await send(deps, ask),
    group: async (ask) => await group(deps, ask),
  };
}

async function send(deps: ClientDeps, ask: CommandAsk) {
  const origin = originOf(ask);
  const allowed = allowedOf(ask.app);
  const fields = new Input(ask.input, [...FRAME, 'key', 'to', 'body', 'ttlMs']);
  const key = fields.text('key', LIMITS.idempotencyKeyCharsMax);
  const { to, body, ttlMs } = ask.input as { readonly to?: unknown; readonly body?: unknown; readonly ttlMs?: unknown };
  const toGroup = new Input(to ?? null, ['device', 'account', 'group']).optionalName('group', parseGroupName);
  if (toGroup === null ? !allowed.pointToPoint : !allowed.groups)
    throw forbidden(ask.app, toGroup === null ? 'to devices and accounts' : 'to groups', 'to');
  takeRate(deps, ask.app, { origin, perSecond: allowed.messagesPerSecond });
  if (toGroup !== null) await assertMember(deps.store, ask.app, { group: toGroup, origin });
  const value = {
    target: to,
    body,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    idempotencyKey: `client-${hash('sha256', JSON.stringify([origin.account, origin.device, key]), 'base64url')}`,
  };
  const { id, state } = await pushOne(deps, ask.app, { value, at: '', headerKey: null, from: origin });
  return { status: 202, body: { id, state } };
}

async function group(deps: ClientDeps, ask: CommandAsk) {
  const origin = originOf(ask);
  const allowed = allowedOf(ask.app);
  if (!allowed.groups) throw forbidden(ask.app, 'in groups', 'group');
  const fields = new Input(ask.input, [...FRAME, 'op', 'group', 'members', 'after']);
  const op = fields.choice('op', OPS);
  const name = fields.name('group', parseGroupName);
  takeRate(deps, ask.app, { origin, perSecond: allowed.messagesPerSecond });
  const { store } = deps;
  const app = ask.app.name;
  const { account } = origin;
  switch (op) {
    case 'create': {
      const members = fields.names('members', { min: 0, max: LIMITS.positionsPerFrameMax }, parseAccountId);
      await createGroup(store, app, { group: name, owner: account, members: [...new Set([account, ...members])] });
      return answer({ group: name });
    }
    case 'join':
    case 'leave':
      await changeGroup(store, app, name, { kind: op, account });
      return answer({ group: name });
    case 'members': {
      await assertMember(store, ask.app, { group: name, origin });
      const after = fields.optionalName('after', parseAccountId);
      return answer(describeMembers(await groupPage(store, app, { group: name, after, limit: PAGE.fallback })));
    }
    case 'delete': {
      const { owner } = await groupPage(store, app, { group: name, after: null, limit: 1 });
      if (owner !== account)
        throw new RefusedError('forbidden', `group: only its owner deletes ${name}`, { field: 'group' });
      await changeGroup(store, app, name, { kind: 'delete' });
      return answer({ group: name });
    }
  }
}

function answer(body: object) {
  return { status: 200, body };
}
function describeMembers({ group: name, members: count, accounts, next }: GroupPage) {
  return { group: name, count, members: accounts, next };
}

function originOf({ origin }: CommandAsk): Origin {
  if (origin !== null) return origin;
  throw new RefusedError('forbidden', 'op: only clients ask for this; the business pushes', { field: 'op' });
}
function allowedOf(app: AppDefinition): Allowed {
  if (app.clientMessaging !== undefined) return app.clientMessaging;
  throw forbidden(app, 'to each other', 'op');
}
function forbidden(app: AppDefinition, what: string, field: string): RefusedError {
  return new RefusedError(
    'forbidden',
    `${field}: app ${app.name} does not let its clients write ${what}: see clientMessaging of its PushApp`,
    { field },
  );
}

function takeRate(deps: ClientDeps, app: AppDefinition, of: { origin: Origin; perSecond: number }): void {
  const waitMs = deps.rates.take(app.name, of.origin.device, {
    perSecond: of.perSecond,
    nowMs: deps.clock.monotonicMs(),
  });
  if (waitMs === 0) return;
  throw new RefusedError('rate-limited', `expected at most ${of.perSecond} messages a second of one device`, {
    field: 'clientMessaging.messagesPerSecond',
    retryAfterMs: waitMs,
  });
}

/** Only members write to a group, and see who is in it. Rejects with RefusedError. */
async function assertMember(
  store: GroupStore,
  app: AppDefinition,
  of: { readonly group: string; readonly origin: Origin },
): Promise<void> {
  if (await store.isGroupMember(app.name, of.group, of.origin.account)) return;
  throw new RefusedError('forbidden', `group: ${of.origin.account} is no member of ${of.group}`, { field: 'group' });
}
