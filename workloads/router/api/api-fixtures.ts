// What tests of lists, jobs and dead letters are built from: devices by the hundred, a router made of jobs alone that can be killed at any
// step of the store, the states of deliveries. Tests only.
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import type { AppDefinition } from '../../protocol/apps.ts';
import { messageIdAt } from '../../protocol/ids.ts';
import type { AccountId, DeviceId, MessageId } from '../../protocol/ids.ts';
import type { DeliverManyRow } from '../../protocol/link.ts';
import { RECORD_DEFAULTS, encodeRecord } from '../../protocol/record.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Message, MessageTarget, Store } from '../../store/port.ts';
import { cancelLists } from '../results/cancel.ts';
import { newRouterCounts } from '../counts.ts';
import { expandLists, expandSpans } from '../push/expansion.ts';
import { SHOP, aSettings, aWatchedText, anApp, appsText, ringOfLinkKey } from '../fixtures.ts';
import type { AnsweredPush } from '../fixtures.ts';
import type { ManyDelivery } from '../delivery/hints.ts';
import { startJobs } from '../push/jobs.ts';
import { openParts } from '../parts.ts';
import { Notices } from '../push/notices.ts';
import type { Origin } from './request-content.ts';

export const namesOf = (prefix: string, count: number): DeviceId[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}` as DeviceId);

/** Registers devices, each of an account of its own name. */
export async function someDevices(store: Store, prefix: string, count: number): Promise<DeviceId[]> {
  const devices = namesOf(prefix, count);
  await Promise.all(
    devices.map((device) =>
      store.registerDevice({
        app: SHOP,
        account: device as string as AccountId,
        device,
        tokenId: `token-${device}`,
        tokenExpiresAtMs: Date.now() + 3_600_000,
        accountDevicesMax: 64,
      }),
    ),
  );
  return devices;
}

/** A list as it is accepted, in chunks of so many names. */
export async function aList(
  store: Store,
  clock: Clock,
  list: {
    readonly names: readonly string[];
    readonly chunkNames: number;
    readonly body?: string;
    readonly target?: MessageTarget;
  },
): Promise<Message> {
  const id = messageIdAt(clock.nowMs(), randomBytes(10));
  const { names, chunkNames } = list;
  const count = Math.ceil(names.length / chunkNames);
  const expiresAtMs = clock.nowMs() + 7 * 24 * 3_600_000;
  const row: Message = {
    app: SHOP,
    id,
    target: list.target ?? { kind: 'devices' },
    lane: 'normal',
    state: 'accepted',
    acceptedAtMs: clock.nowMs(),
    dueAtMs: 0,
    expiresAtMs,
    recipients: names.length,
    chunks: count,
    chunksDone: 0,
    chunkMarks: '',
    record: aRecord(id, { expiresAtMs, body: list.body ?? 'hello' }),
    options: '',
  };
  const chunks = Array.from({ length: count }, (_, index) => ({
    app: SHOP,
    id,
    index,
    names: names.slice(index * chunkNames, (index + 1) * chunkNames),
  }));
  await store.putMessages([row], chunks);
  return row;
}

export function aRecord(id: MessageId, more: { readonly expiresAtMs: number; readonly body: string }): Uint8Array {
  return encodeRecord({
    ...RECORD_DEFAULTS,
    id,
    publishedAtMs: more.expiresAtMs - 1000,
    expiresAtMs: more.expiresAtMs,
    content: 'text',
    attributes: new Uint8Array(0),
    body: Buffer.from(more.body),
  });
}

export interface JobsRouter {
  readonly store: Store;
  readonly told: DeliverManyRow[];
  readonly counts: ReturnType<typeof newRouterCounts>;
  poke(): void;
  /** Steps of the store so far. */
  steps(): number;
  /** Resolves when it has died or is held, or its jobs and claims are at rest. */
  rest(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A router of jobs alone. Killed at its store step number `dieAt`, before or after the store did it: from then on nothing it asks is
 * answered, as from a process that is gone.
 */
export function aJobsRouter(options: {
  readonly store: Store;
  readonly clock: Clock;
  readonly app?: AppDefinition;
  readonly dieAt?: number;
  readonly dieHow?: 'before' | 'after';
  /** Called before each step. */
  readonly onStep?: (step: number) => Promise<void> | void;
  /** Holds a step up until then, as of a process that hangs meanwhile. */
  readonly hold?: (step: number) => Promise<void> | null;
  /** Devices that count as offline. */
  readonly offline?: ReadonlySet<DeviceId>;
}): JobsRouter {
  const { clock, dieAt = Infinity, dieHow = 'before' } = options;
  let steps = 0;
  let open = 0;
  const store = new Proxy(options.store, {
    get(target, property: keyof Store) {
      const operation = target[property] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]): Promise<unknown> => {
        const step = ++steps;
        open++;
        await options.onStep?.(step);
        const held = options.hold?.(step) ?? null;
        if (held !== null) {
          open--;
          await held;
          open++;
        }
        if (step > dieAt || (step === dieAt && dieHow === 'before')) return await forever(() => open--);
        const answered = operation.apply(target, args);
        await Promise.allSettled([answered]);
        if (step >= dieAt) return await forever(() => open--);
        open--;
        return await answered;
      };
    },
  });
  const counts = newRouterCounts();
  const told: DeliverManyRow[] = [];
  const hints = {
    async tellMany(many: ManyDelivery) {
      const offline = many.rows.filter(({ device }) => options.offline?.has(device) === true);
      told.push(...many.rows);
      return await Promise.resolve({ online: 0, unknown: 0, offline: offline.map(({ device }) => device) });
    },
  };
  const appOf = () => options.app ?? anApp();
  const notices = new Notices({ store, appOf, nowMs: () => clock.nowMs(), counts, onPut: () => {} });
  const expansion = { store, hints, notices, counts, onJob: () => jobs.poke() };
  const jobs = startJobs({
    store,
    handlers: {
      expand: expandLists(expansion),
      span: expandSpans(expansion),
      cancel: cancelLists({ store, onJob: () => {} }),
    },
    clock,
    log: silentLog,
    random: () => 0.5,
    counts,
  });
  return {
    store,
    told,
    counts,
    poke: () => jobs.poke(),
    steps: () => steps,
    async rest() {
      // Between two steps of one task there are microtasks only, so that some turns without an open step are rest.
      for (let still = 0; still < 5; still = open === 0 ? still + 1 : 0) await new Promise(setImmediate);
    },
    stop: () => jobs.stop(),
  };
}

function forever(onDead: () => void): Promise<never> {
  onDead();
  return new Promise(() => {});
}

/** How many of the devices are in which state. */
export async function statesOf(
  store: Store,
  row: Message,
  devices: readonly DeviceId[],
): Promise<Record<string, number>> {
  const states: Record<string, number> = {};
  const asked = devices.map((device) => ({ device, lane: row.lane, messageId: row.id }));
  for (const { state } of await store.deliveryStates(SHOP, asked)) states[state] = (states[state] ?? 0) + 1;
  return states;
}

/** What stands behind the API without its ports: commands are asked as a door does. */
export async function aDoor(
  t: TestContext,
  options: { readonly store: Store; readonly clock?: Clock; readonly app?: AppDefinition },
) {
  const { store, clock = systemClock, app = anApp() } = options;
  const parts = openParts(aSettings(), {
    store,
    clock,
    log: silentLog,
    keys: ringOfLinkKey,
    random: () => 0.5,
    bus: null,
    config: aWatchedText(appsText([app])).source,
  });
  t.after(async () => {
    await parts.api.stop();
    parts.upkeep.stop();
    parts.hints.gateways.stop('kill');
  });
  const run = async (op: string, input: unknown, origin: Origin | null = null) => {
    const bytes = Buffer.from(JSON.stringify(input));
    const answer = await parts.api.commands.run({ app, op, bytes, origin, log: silentLog });
    return { status: answer.status, body: answer.body as AnsweredPush['body'] };
  };
  return { parts, run, app };
}

/** Resolves once what `look` answers is there; it is asked again each turn of the event loop. */
export async function eventually<T>(look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    await new Promise(setImmediate);
  }
}
