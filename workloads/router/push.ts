// The path of one push: its key claimed, stored, told to gateways, answered. Durable: only what the store has is answered, and a retry with
// the same key gets the same id and stores nothing twice, also after an unknown outcome. api.ts calls push for each message.
import { randomBytes } from 'node:crypto';
import type { AppDefinition } from '../protocol/apps.ts';
import { isTopicAllowed } from '../protocol/apps.ts';
import { RefusedError } from '../protocol/codes.ts';
import { TOPIC_ALL, messageIdAt, messageIdTimeMs } from '../protocol/ids.ts';
import type { DeviceId, MessageId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import { RECORD_DEFAULTS, encodeRecord } from '../protocol/record.ts';
import type { Clock } from '../runtime/clock.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { Append, AppendOutcome, Store, StreamRef } from '../store/port.ts';
import { openCollector } from './collector.ts';
import type { Collector } from './collector.ts';
import { countMessage } from './counts.ts';
import type { RouterCounts } from './counts.ts';
import type { Hints, Presence } from './hints.ts';
import { BUSY_RETRY_MS } from './live-queue.ts';
import type { LivePath } from './live-path.ts';
import type { Push } from './request.ts';

export interface Position {
  readonly device?: DeviceId;
  readonly stream: string;
  readonly epoch: string;
  readonly offset: number;
}
/** What an accepted push is answered; openapi.ts describes each field. */
export interface Accepted {
  readonly id: MessageId;
  readonly state: 'stored' | 'sent' | 'offline';
  readonly duplicate?: boolean;
  readonly recipients: number;
  readonly positions?: readonly Position[];
  readonly online?: number;
  readonly gateways?: number;
  readonly refused?: readonly { readonly device: DeviceId; readonly code: 'stream-full' | 'device-unknown' }[];
}

export interface PusherOptions {
  readonly store: Pick<Store, 'append' | 'claimKey' | 'accountDevices'>;
  readonly hints: Hints;
  readonly live: Pick<LivePath, 'toTopic' | 'toDevice'>;
  readonly clock: Clock;
  readonly counts: RouterCounts;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
}

export interface Pusher {
  /** Resolves once the message is stored (durable) or on its way (live). Rejects with RefusedError. */
  push(app: AppDefinition, push: Push): Promise<Accepted>;
}

/** Appends in one trip: about 1 MiB at 1 KB each. */
const APPENDS_MAX = 1000;
/** A store that does not answer is asked again after half of this to all of it. */
const STORE_RETRY_MS = 2000;
const ID_BYTES = 10;
const RANDOM_BYTES = 4000;

interface Message {
  readonly app: AppDefinition;
  readonly push: Push;
  readonly id: MessageId;
  readonly record: Uint8Array;
  readonly expiresAtMs: number;
  readonly duplicate: boolean;
}
type Appended = Extract<AppendOutcome, { kind: 'appended' }>;

export function openPusher(options: PusherOptions): Pusher {
  const { store } = options;
  const appends = openCollector<Append, AppendOutcome>({ questionsMax: APPENDS_MAX, run: (all) => store.append(all) });
  const path = new PushPath(options, appends);
  return {
    async push(app, push) {
      const labels = [push.class, push.target.kind] as const;
      try {
        assertAllowed(app, push);
        const accepted = await (push.class === 'durable' ? path.durable(app, push) : path.live(app, push));
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

class PushPath {
  readonly #options: PusherOptions;
  readonly #appends: Collector<Append, AppendOutcome>;
  #random: Buffer = Buffer.alloc(0);
  #randomAt = 0;
  constructor(options: PusherOptions, appends: Collector<Append, AppendOutcome>) {
    this.#options = options;
    this.#appends = appends;
  }

  async durable(app: AppDefinition, push: Push): Promise<Accepted> {
    const claimed = await this.#claim(app, push);
    const message = this.#compose(app, push, claimed);
    switch (push.target.kind) {
      case 'device':
        return await this.#toDevices(message, [push.target.device]);
      case 'account':
        return await this.#toDevices(message, await this.#devicesOf(message));
      case 'topic':
        return await this.#toTopic(message, push.target.topic);
    }
  }

  async live(app: AppDefinition, push: Push): Promise<Accepted> {
    const message = this.#compose(app, push, { id: this.#newId(), duplicate: false });
    const { id, record } = message;
    const { live } = this.#options;
    if (push.target.kind === 'topic') {
      const gateways = await live.toTopic(app.name, push.target.topic, record);
      return { id, state: 'sent', recipients: 1, gateways };
    }
    const devices = push.target.kind === 'device' ? [push.target.device] : await this.#devicesOf(message);
    const { lane } = push;
    const sent = await Promise.all(devices.map((device) => live.toDevice(app.name, device, { lane, record })));
    const online = sent.filter(({ outcome }) => outcome === 'sent');
    // Where the store cannot tell, everyone counts as online (C9): it went to every gateway.
    const unknown = sent.filter(({ outcome }) => outcome === 'unknown');
    if (online.length + unknown.length === 0) {
      if (sent.some(({ outcome }) => outcome === 'busy'))
        throw new RefusedError('overloaded', 'the gateway of the device takes nothing now', {
          retryAfterMs: BUSY_RETRY_MS,
        });
      return { id, state: 'offline', recipients: 0, online: 0, gateways: 0 };
    }
    const recipients = online.length + unknown.length;
    if (unknown.length > 0) return { id, state: 'sent', recipients };
    const gateways = new Set(online.map(({ bootId }) => bootId)).size;
    return { id, state: 'sent', recipients, online: online.length, gateways };
  }

  /** The id of the message: new, or that of the request which holds the key. */
  async #claim(app: AppDefinition, push: Push): Promise<{ id: MessageId; duplicate: boolean }> {
    const id = this.#newId();
    if (push.key === null) return { id, duplicate: false };
    const claim = await this.#options.store.claimKey(app.name, push.key, id, push.fingerprint);
    if (claim.fingerprint !== push.fingerprint)
      throw new RefusedError('idempotency-conflict', 'idempotencyKey: was used with another message', {
        field: 'idempotencyKey',
      });
    return { id: claim.messageId, duplicate: !claim.claimed };
  }

  /** Times come from the id, so that a retry makes the same record. */
  #compose(app: AppDefinition, push: Push, claimed: { id: MessageId; duplicate: boolean }): Message {
    const publishedAtMs = messageIdTimeMs(claimed.id);
    const ttlMs = push.ttlMs ?? (push.class === 'live' ? null : (app.delivery.ttlMs ?? LIMITS.ttlDefaultMs));
    const expiresAtMs = ttlMs === null ? 0 : publishedAtMs + Math.min(ttlMs, LIMITS.ttlMaxMs);
    const { content, attributes, body } = push;
    const record = encodeRecord({
      id: claimed.id,
      publishedAtMs,
      expiresAtMs,
      content,
      attributes,
      body,
      ...RECORD_DEFAULTS,
    });
    return { app, push, record, expiresAtMs, ...claimed };
  }

  async #devicesOf({ app, push }: Message): Promise<readonly DeviceId[]> {
    if (push.target.kind !== 'account') return [];
    const devices = await this.#options.store.accountDevices(app.name, push.target.account);
    if (devices.length > 0) return devices;
    throw new RefusedError('device-unknown', `target.account: no device of ${push.target.account} ever registered`, {
      field: 'target.account',
    });
  }

  async #toDevices(message: Message, devices: readonly DeviceId[]): Promise<Accepted> {
    const { app, push } = message;
    const { lane } = push;
    const outcomes = await Promise.all(
      devices.map((device) => this.#append(message, { app: app.name, kind: 'device', device, lane })),
    );
    const stored: { device: DeviceId; at: Appended }[] = [];
    const refused: { device: DeviceId; code: 'stream-full' | 'device-unknown' }[] = [];
    outcomes.forEach((at, i) => {
      const device = devices[i]!;
      if (at.kind === 'appended') stored.push({ device, at });
      else refused.push({ device, code: at.reason });
    });
    if (stored.length === 0) throw describeRefusal(push, refused[0]!);
    const presences = await Promise.all(stored.map(({ device, at }) => this.#tell(message, device, at)));
    return {
      id: message.id,
      state: 'stored',
      duplicate: message.duplicate,
      recipients: stored.length,
      positions: stored.map(({ device, at }) => ({
        device,
        stream: `@${lane}`,
        epoch: at.epoch,
        offset: at.offset,
      })),
      ...onlineAmong(presences),
      ...(refused.length === 0 ? {} : { refused }),
    };
  }

  async #toTopic(message: Message, topic: typeof TOPIC_ALL): Promise<Accepted> {
    const app = message.app.name;
    const at = await this.#append(message, { app, kind: 'topic', topic });
    if (at.kind !== 'appended') throw describeRefusal(message.push, { code: at.reason });
    const { epoch, offset, prev } = at;
    const { record, id, duplicate } = message;
    const gateways = this.#options.hints.gateways.tellTopic({
      kind: 'deliver-topic',
      app,
      topic,
      epoch,
      offset,
      prev,
      stamp: 0,
      record,
    });
    return { id, state: 'stored', duplicate, recipients: 1, positions: [{ stream: topic, epoch, offset }], gateways };
  }

  #append({ id, record, expiresAtMs }: Message, stream: StreamRef): Promise<AppendOutcome> {
    return this.#appends.ask({ stream, messageId: id, record, expiresAtMs });
  }

  #tell({ app, push, record }: Message, device: DeviceId, at: Appended): Promise<Presence> {
    const { lane } = push;
    const { epoch, offset, prev } = at;
    return this.#options.hints.tellDevice({
      kind: 'deliver-device',
      app: app.name,
      device,
      lane,
      epoch,
      offset,
      prev,
      record,
    });
  }

  #newId(): MessageId {
    if (this.#randomAt + ID_BYTES > this.#random.length) {
      this.#random = randomBytes(RANDOM_BYTES); // for some hundred ids at once: a call for each costs 4 % of a push
      this.#randomAt = 0;
    }
    const random = this.#random.subarray(this.#randomAt, (this.#randomAt += ID_BYTES));
    return messageIdAt(this.#options.clock.nowMs(), random);
  }
}

function assertAllowed(app: AppDefinition, { target }: Push): void {
  if (target.kind !== 'topic' || target.topic === TOPIC_ALL || isTopicAllowed(app.allowedTopics, target.topic)) return;
  throw new RefusedError('forbidden', `target.topic: ${target.topic} is not within allowedTopics of app ${app.name}`, {
    field: 'target.topic',
  });
}

function describeRefusal(
  push: Push,
  first: { device?: DeviceId; code: 'stream-full' | 'device-unknown' },
): RefusedError {
  const field = `target.${push.target.kind}`;
  const who = first.device ?? 'the topic';
  return first.code === 'device-unknown'
    ? new RefusedError('device-unknown', `${field}: ${who} never registered`, { field })
    : new RefusedError('stream-full', `${field}: the stream of ${who} holds all it may; nothing was stored`, { field });
}

/** Left out as soon as one is not known: a number that may be wrong is worse than none. */
function onlineAmong(presences: readonly Presence[]): { online?: number } {
  if (presences.includes('unknown')) return {};
  return { online: presences.filter((presence) => typeof presence === 'object').length };
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
