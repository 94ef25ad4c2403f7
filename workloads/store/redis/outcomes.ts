// How single deliveries end, and what became of them: entries settled anywhere in a device's stream, states by message id, attempts of
// the lowest unsettled entry, topic entries that are cancelled. Called by redis-store.ts.
import { devicePlace, streamKey } from './keys.ts';
import { END_LETTERS, END_STATES } from './scripts/outcome-lib.ts';
import { cancelTopicEntryScript, DELIVERY_STATE, SAVE_ATTEMPTS } from './scripts/outcomes.ts';
import type { Script } from './scripts/script.ts';
import { ENTRY_STALE, ENTRY_UNKNOWN, settleEntryScript } from './scripts/settle.ts';
import { SAVE_TOPIC_ATTEMPTS } from './scripts/subscriptions.ts';
import { askAll, askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import type * as port from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AppId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../../protocol/ids.ts';
import { laneOf } from '../../protocol/streams.ts';
import type { Lane } from '../../protocol/streams.ts';

export interface OutcomeScripts {
  readonly settleEntry: Script;
  readonly deliveryState: Script;
  readonly saveAttempts: Script;
  readonly saveTopicAttempts: Script;
  readonly cancelTopicEntry: Script;
}
export function outcomeScripts(limits: StoreLimits): OutcomeScripts {
  return {
    settleEntry: settleEntryScript(limits),
    deliveryState: DELIVERY_STATE,
    saveAttempts: SAVE_ATTEMPTS,
    saveTopicAttempts: SAVE_TOPIC_ATTEMPTS,
    cancelTopicEntry: cancelTopicEntryScript(limits),
  };
}

export class RedisOutcomes {
  readonly #topology: Topology;
  readonly #scripts: OutcomeScripts;

  constructor(topology: Topology, scripts: OutcomeScripts) {
    this.#topology = topology;
    this.#scripts = scripts;
  }

  async settleEntries(settles: readonly port.EntrySettle[]): Promise<readonly port.EntrySettleOutcome[]> {
    const asked = settles.map((settle) => {
      const { app, device, lane, entry, state, generation, gateway, reason, attempts, held } = settle;
      const place = 'messageId' in entry ? [entry.messageId, '', 0] : ['', entry.epoch, entry.offset];
      const letter = [(reason ?? '').slice(0, 200), attempts ?? 0, held === true ? 1 : 0];
      return {
        ...streamKey({ app, kind: 'device', device, lane }),
        args: [...place, END_LETTERS[state], generation ?? '', gateway ?? '', ...letter],
      };
    });
    return (await askAll(this.#topology, this.#scripts.settleEntry, asked)).map(entryOutcome);
  }

  async deliveryStates(
    app: AppId,
    deliveries: readonly { readonly device: DeviceId; readonly lane: Lane; readonly messageId: MessageId }[],
  ): Promise<readonly port.DeliveryState[]> {
    const asked = deliveries.map(({ device, lane, messageId }) => {
      return { ...streamKey({ app, kind: 'device', device, lane }), args: [messageId] };
    });
    return (await askAll(this.#topology, this.#scripts.deliveryState, asked)).map(stateOf);
  }

  /** Lanes' in their streams, topics' with their cursors. */
  async saveAttempts(attempts: readonly port.Attempts[]): Promise<void> {
    const ofLanes = attempts.flatMap(({ app, device, generation, stream, epoch, offset, attempts: n }) => {
      const lane = laneOf(stream);
      if (lane === null) return [];
      return [{ ...streamKey({ app, kind: 'device', device, lane }), args: [generation, epoch, offset, n] }];
    });
    const ofTopics = attempts.flatMap(({ app, device, generation, stream, epoch, offset, attempts: n }) => {
      if (laneOf(stream) !== null) return [];
      const { bucket, prefix, name } = devicePlace(app, device);
      return [{ bucket, key: prefix, args: [name, generation, stream, epoch, offset, n] }];
    });
    await Promise.all([
      askAll(this.#topology, this.#scripts.saveAttempts, ofLanes),
      askAll(this.#topology, this.#scripts.saveTopicAttempts, ofTopics),
    ]);
  }

  async cancelTopicEntry(app: AppId, topic: TopicName, messageId: MessageId): Promise<boolean> {
    const asked = { ...streamKey({ app, kind: 'topic', topic }), args: [messageId] };
    return (await askOne(this.#topology, this.#scripts.cancelTopicEntry, asked)) === 1;
  }
}

function entryOutcome(reply: Reply): port.EntrySettleOutcome {
  if (reply === ENTRY_UNKNOWN) return { kind: 'unknown' };
  if (reply === ENTRY_STALE) return { kind: 'stale' };
  if (Buffer.isBuffer(reply)) return { kind: 'ended', state: END_STATES[textOf(reply)]! };
  const [epoch, offset, satisfied] = listOf(reply);
  const id = textOf(satisfied);
  return {
    kind: 'settled',
    epoch: textOf(epoch) as Epoch,
    offset: numberOf(offset),
    satisfied: id === '' ? [] : [id as MessageId],
  };
}

function stateOf(reply: Reply): port.DeliveryState {
  if (reply === null) return { state: 'unknown' };
  const [epoch, offset, letter, atMs, gateway] = listOf(reply);
  const at = { epoch: textOf(epoch) as Epoch, offset: numberOf(offset) };
  const state = END_STATES[textOf(letter)];
  if (state === undefined) return { state: 'waiting', ...at };
  const name = textOf(gateway);
  return { state, atMs: numberOf(atMs), gateway: name === '' ? null : (name as GatewayName), ...at };
}
