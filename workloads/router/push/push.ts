// The path of one push: its key claimed, stored, told to gateways, answered. Durable: only what the store has is answered, and a retry
// with the same key gets the same id and stores nothing twice, also after an unknown outcome. commands/push.ts calls push for each
// message; push/ has a file for each kind of target.
import type { AppDefinition } from '../../protocol/apps.ts';
import { isTopicAllowed } from '../../protocol/apps.ts';
import { RefusedError } from '../../protocol/codes.ts';
import { TOPIC_ALL } from '../../protocol/ids.ts';
import { markJournalled } from '../../protocol/record.ts';
import type { DeviceId, MessageId, TopicName } from '../../protocol/ids.ts';
import type { Lane } from '../../protocol/streams.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import type { Store } from '../../store/port.ts';
import { countMessage } from '../counts.ts';
import type { RouterCounts } from '../counts.ts';
import type { Hints } from '../delivery/hints.ts';
import type { Intake } from '../intake.ts';
import { isBusRefusal } from './journal.ts';
import type { Journal } from './journal.ts';
import { isJournallable } from './journal-entry.ts';
import type { JournalEntry } from './journal-entry.ts';
import type { LivePath } from '../delivery/live-path.ts';
import type { Accepted } from './accepted.ts';
import { compose } from './compose.ts';
import type { Outgoing } from './compose.ts';
import type { DeviceSender } from './devices.ts';
import { KnownAccounts } from './known-accounts.ts';
import { KeyedIds } from './keyed-id.ts';
import { acceptList, resumeList } from './list.ts';
import { sendLive } from './live.ts';
import { groupAccounts, requireDevices } from './recipients.ts';
import { schedule } from './scheduled.ts';
import { sendToTopic } from './topic.ts';
import type { Push } from '../api/request.ts';
import type { ListTarget } from '../api/request-target.ts';

export interface PusherOptions {
  readonly store: Store;
  readonly hints: Hints;
  readonly live: Pick<LivePath, 'toTopic' | 'toDevice'>;
  readonly sender: DeviceSender;
  readonly newId: () => MessageId;
  /** Holds back while there is too much. */
  readonly intake: Pick<Intake, 'assertOpen'>;
  readonly nowMs: () => number;
  /** Null: there is no bus to fail open to. */
  readonly journal: Journal | null;
  readonly counts: RouterCounts;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** A job is there that may be run now. */
  readonly onJob: () => void;
}

export interface Pusher {
  /** Resolves once the message is stored or journalled (durable) or on its way (live). Rejects with RefusedError. */
  push(app: AppDefinition, push: Push): Promise<Accepted>;
  /** Makes a push of the journal ready to be stored, and answers what stores it. Both reject with RefusedError, or as the store does. */
  replay(app: AppDefinition, entry: JournalEntry): Promise<() => Promise<void>>;
}

/** A store that does not answer is asked again after half of this to all of it. */
const STORE_RETRY_MS = 2000;

export function openPusher(options: PusherOptions): Pusher {
  const path = new DurablePath(options);
  const durable = new FailOpen(options, path);
  return {
    replay: (app, entry) => path.replay(app, entry),
    async push(app, push) {
      const labels = [push.class, push.target.kind] as const;
      try {
        assertAllowed(app, push);
        options.intake.assertOpen(push.class);
        options.counts.pushBytes += push.body.length + push.attributes.length;
        const accepted =
          push.class === 'durable'
            ? await durable.push(app, push)
            : await sendLive(options, app, { push, id: options.newId() });
        countMessage(options.counts, [...labels, accepted.duplicate === true ? 'duplicate' : accepted.state]);
        return accepted;
      } catch (error) {
        const refused = refusalOf(error, options);
        countMessage(options.counts, [...labels, refused instanceof RefusedError ? refused.code : 'internal']);
        throw refused;
      }
    },
  };
}

/** The store, or the journal while it is away (R13). */
class FailOpen {
  readonly #keyedIds = new KeyedIds();
  readonly #options: PusherOptions;
  readonly #path: DurablePath;
  constructor(options: PusherOptions, path: DurablePath) {
    this.#options = options;
    this.#path = path;
  }

  async push(app: AppDefinition, push: Push): Promise<Accepted> {
    const { journal, newId, nowMs } = this.#options;
    if (!isJournallable(push)) return await this.#path.push(app, push, { id: newId(), atMs: null });
    const atMs = nowMs();
    const { key, fingerprint } = push;
    const id = key === null ? newId() : this.#keyedIds.of(app.name, key, { fingerprint, nowMs: atMs });
    const entry = { app: app.name, id, atMs, push };
    if (journal?.isNeeded === true && (await journal.takes())) {
      const accepted = await this.#journalled(app, entry, journal);
      if (accepted !== null) return accepted; // else the bus is away too, and the store may be back
    }
    try {
      return await this.#path.push(app, push, { id, atMs: push.key === null ? null : atMs });
    } catch (error) {
      if (!(error instanceof StoreUnavailableError) || journal === null) throw error;
      journal.storeFailed();
      const accepted = await this.#journalled(app, entry, journal);
      if (accepted === null) throw error;
      return accepted;
    }
  }

  /** Null: the bus did not take it. */
  async #journalled(app: AppDefinition, entry: JournalEntry, journal: Journal): Promise<Accepted | null> {
    try {
      await journal.accept(entry);
    } catch (error) {
      if (isBusRefusal(error)) return null;
      throw error;
    }
    const { id, push, atMs } = entry;
    if (push.key !== null) this.#keyedIds.remember(id, atMs);
    // With its body: a client that asks for one later would ask a stream that has it not yet.
    const out = compose(app, { ...push, deliver: { ...push.deliver, idOnly: false } }, id, atMs);
    const record = markJournalled(out.record);
    // Without a position, as a live message: who is connected has it now, and its client knows the id when the stream brings it.
    this.#tell(app, push.target, { lane: out.lane, record }).catch(() => void this.#options.counts.liveMissed++);
    return { id, state: 'journalled', recipients: 1 };
  }

  async #tell(app: AppDefinition, target: Push['target'], message: { lane: Lane; record: Uint8Array }): Promise<void> {
    const { live } = this.#options;
    if (target.kind === 'topic') return void (await live.toTopic(app.name, target.topic, message.record));
    const devices =
      target.kind === 'device'
        ? [target.device]
        : target.kind === 'account'
          ? this.#path.accounts.find(app.name, target.account)
          : [];
    await Promise.all(devices.map((device) => live.toDevice(app.name, device, message)));
  }
}

interface Claimed {
  readonly id: MessageId;
  readonly duplicate: boolean;
}

class DurablePath {
  readonly accounts = new KnownAccounts();
  readonly #options: PusherOptions;
  constructor(options: PusherOptions) {
    this.#options = options;
  }

  /** @param as.atMs when it was accepted; null: as the id says */
  async push(app: AppDefinition, push: Push, as: { id: MessageId; atMs: number | null }): Promise<Accepted> {
    const claimed = push.key === null ? { id: as.id, duplicate: false } : await this.#claim(app, push, as.id);
    const out = compose(app, push, claimed.id, as.atMs ?? undefined);
    const { target } = push;
    if (target.kind === 'devices' || target.kind === 'accounts' || target.kind === 'group')
      return await this.#list(out, target, claimed);
    if (out.dueAtMs > 0) return await this.#schedule(out, push, claimed);
    switch (target.kind) {
      case 'device':
        return await this.#toDevices(out, [target.device], claimed);
      case 'account':
        return await this.#toDevices(out, await this.#devicesOf(app, target), claimed);
      case 'topic':
        return await this.#toTopic(out, target.topic, claimed);
    }
  }

  /** A push of the journal: it was answered, so what a full stream does not take is dead-lettered. Idempotent. Rejects as `push` does. */
  async replay(app: AppDefinition, { push, id, atMs }: JournalEntry): Promise<() => Promise<void>> {
    const { target } = push;
    const [claimed, devices] = await Promise.all([
      this.#claim(app, push, id),
      target.kind === 'device' ? [target.device] : this.#devicesOf(app, target),
    ]);
    const out = compose(app, push, claimed.id, atMs);
    if (target.kind === 'topic') return async () => void (await this.#toTopic(out, target.topic, claimed));
    return async () => {
      const { stored, dead, refused } = await this.#options.sender.send(out, devices, 'dead-letter');
      if (stored.length + dead.length === 0) throw describeRefusal(out, refused[0]!);
    };
  }

  async #devicesOf(app: AppDefinition, target: Push['target']): Promise<readonly DeviceId[]> {
    if (target.kind !== 'account') return [];
    const devices = await this.#options.store.accountDevices(app.name, target.account);
    this.accounts.remember(app.name, target.account, devices);
    return requireDevices(devices, target.account);
  }

  /** The id of the message: `id`, or that of the request which holds the key. */
  async #claim(app: AppDefinition, push: Push, id: MessageId): Promise<Claimed> {
    if (push.key === null) return { id, duplicate: false };
    const claim = await this.#options.store.claimKey(app.name, push.key, id, push.fingerprint);
    if (claim.fingerprint === push.fingerprint) return { id: claim.messageId, duplicate: !claim.claimed };
    throw new RefusedError('idempotency-conflict', 'idempotencyKey: was used with another message', {
      field: 'idempotencyKey',
    });
  }

  async #toDevices(out: Outgoing, devices: readonly DeviceId[], { id, duplicate }: Claimed): Promise<Accepted> {
    const { stored, refused, online } = await this.#options.sender.send(out, devices, 'refuse');
    if (stored.length === 0) throw describeRefusal(out, refused[0]!);
    return {
      id,
      state: 'stored',
      duplicate,
      recipients: stored.length,
      positions: stored,
      ...(online === null ? {} : { online }),
      ...(refused.length === 0 ? {} : { refused }),
    };
  }

  async #toTopic(out: Outgoing, topic: TopicName, { id, duplicate }: Claimed): Promise<Accepted> {
    const { at, gateways } = await sendToTopic(this.#options, out, topic);
    if (at.kind !== 'appended') throw describeRefusal(out, { code: 'stream-full' });
    const positions = [{ stream: topic, epoch: at.epoch, offset: at.offset }];
    return { id, state: 'stored', duplicate, recipients: 1, positions, gateways };
  }

  /** A retry after the list was stored has nothing to store, whatever became of it since. */
  async #list(out: Outgoing, target: ListTarget, { id, duplicate }: Claimed): Promise<Accepted> {
    const [known = null] = duplicate ? await this.#options.store.messages(out.app, [id]) : [];
    if (known !== null) await resumeList(this.#options, known);
    const recipients =
      known?.recipients ??
      (await acceptList(this.#options, out, { names: await this.#namesOf(out, target), again: duplicate }));
    return { id, duplicate, recipients, ...scheduledOr(out, 'accepted') };
  }

  async #namesOf(out: Outgoing, target: ListTarget): Promise<readonly string[]> {
    if (target.kind === 'devices') return target.devices;
    if (target.kind === 'accounts') return target.accounts;
    return await groupAccounts(this.#options.store, out.app, target.group);
  }

  async #schedule(out: Outgoing, push: Push, { id, duplicate }: Claimed): Promise<Accepted> {
    const { store } = this.#options;
    const { target } = push;
    if (target.kind === 'account') requireDevices(await store.accountDevices(out.app, target.account), target.account);
    if (target.kind === 'device' && (await store.device(out.app, target.device)) === null)
      throw describeRefusal(out, { device: target.device, code: 'device-unknown' });
    const [known = null] = duplicate ? await store.messages(out.app, [id]) : [];
    if (known === null || known.state === 'scheduled') await schedule(this.#options, out);
    return { id, duplicate, recipients: 1, ...scheduledOr(out, 'accepted') };
  }
}

function scheduledOr(out: Outgoing, state: 'accepted'): Pick<Accepted, 'state' | 'dueAt'> {
  return out.dueAtMs > 0 ? { state: 'scheduled', dueAt: new Date(out.dueAtMs).toISOString() } : { state };
}

function assertAllowed(app: AppDefinition, { target }: Push): void {
  if (target.kind !== 'topic' || target.topic === TOPIC_ALL || isTopicAllowed(app.allowedTopics, target.topic)) return;
  throw new RefusedError('forbidden', `target.topic: ${target.topic} is not within allowedTopics of app ${app.name}`, {
    field: 'target.topic',
  });
}

function describeRefusal(
  out: Outgoing,
  first: { device?: DeviceId; code: 'stream-full' | 'device-unknown' },
): RefusedError {
  const field = `target.${out.target.kind}`;
  const who = first.device ?? 'the topic';
  return first.code === 'device-unknown'
    ? new RefusedError('device-unknown', `${field}: ${who} never registered`, { field })
    : new RefusedError('stream-full', `${field}: the stream of ${who} holds all it may; nothing was stored`, { field });
}

function refusalOf(error: unknown, { counts, random }: PusherOptions): unknown {
  if (!(error instanceof StoreUnavailableError)) return error;
  counts.storeFailures++;
  return new RefusedError(
    'store-unavailable',
    'the store did not answer, so the outcome is unknown; send again with the same idempotency key',
    { retryAfterMs: Math.round((STORE_RETRY_MS * (1 + random())) / 2), cause: error },
  );
}
