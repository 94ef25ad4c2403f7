// Dead letters in Redis: in the buckets of their devices. Pages walk the buckets; a cursor is where in which bucket the last page ended.
// Called by redis-store.ts.
import { allBuckets, BUCKETS, devicePlace, streamKey } from './keys.ts';
import type { RedisMessages } from './messages.ts';
import {
  changeLetterScript,
  COUNT_LETTERS,
  GET_LETTER,
  LETTER_CHANGED,
  LETTER_UNKNOWN,
  LETTERS_PAGE,
  putLetterScript,
  REDRIVE_REFUSED,
} from './scripts/dead-letters.ts';
import type { Script } from './scripts/script.ts';
import { appendOutcome } from './streams.ts';
import { askAll, askOne, walkBuckets } from './topology.ts';
import type { Topology } from './topology.ts';
import { bytesOf, listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import { letterId, parseLetterId } from '../letter-id.ts';
import type { DeadDelivery } from '../letter-id.ts';
import type { DeadLetter, DeadLetterAction, DeadLetterOutcome, Store } from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AccountId, AppId, MessageId } from '../../protocol/ids.ts';
import { decodeRecord, encodeRecord, RECORD_HEADER_BYTES } from '../../protocol/record.ts';
import { LANE_DEFAULT, laneOf } from '../../protocol/streams.ts';

/** Buckets whose counts are asked at once. */
const COUNT_WIDTH = 1024;

export interface LetterScripts {
  readonly put: Script;
  readonly count: Script;
  readonly get: Script;
  readonly page: Script;
  readonly change: Script;
}
export function letterScripts(limits: StoreLimits): LetterScripts {
  const [put, change] = [putLetterScript(limits), changeLetterScript(limits)];
  return { put, count: COUNT_LETTERS, get: GET_LETTER, page: LETTERS_PAGE, change };
}

type Page = Parameters<Store['deadLetters']>[1];
type Change = { readonly id: string; readonly action: DeadLetterAction };
/** Where a walk goes on: the bucket, and behind which letter of it ('' for its first). */
interface Position {
  readonly bucket: number;
  readonly atMs: string;
  readonly name: string;
}

export class RedisDeadLetters {
  readonly #topology: Topology;
  readonly #scripts: LetterScripts;
  readonly #messages: RedisMessages;

  constructor(topology: Topology, scripts: LetterScripts, messages: RedisMessages) {
    this.#topology = topology;
    this.#scripts = scripts;
    this.#messages = messages;
  }

  async put(letters: readonly Omit<DeadLetter, 'id' | 'atMs'>[]): Promise<void> {
    const asked = letters.map((letter) => {
      const { app, account, messageId, reason, attempts, state, record } = letter;
      const about = [account, messageId, reason.slice(0, 200), attempts, state === 'held' ? 1 : 0, record];
      const { bucket, key, name } = letterPlace(app, letter);
      return { bucket, key, args: [name, ...about] };
    });
    await askAll(this.#topology, this.#scripts.put, asked);
  }

  async get(app: AppId, id: string): Promise<DeadLetter | null> {
    const delivery = parseLetterId(id);
    return delivery === null ? null : (await this.#lookUp(app, [delivery]))[0]!;
  }

  async count(app: AppId): Promise<number> {
    let sum = 0;
    for (const count of (await this.#counts(app, allBuckets())).values()) sum += numberOf(count);
    return sum;
  }

  async page(app: AppId, page: Page): Promise<{ letters: readonly DeadLetter[]; next: string | null }> {
    const only = page.device === undefined ? null : devicePlace(app, page.device).bucket;
    let at: Position | null = decodeCursor(page.cursor) ?? { bucket: only ?? 0, atMs: '', name: '' };
    const letters: DeadLetter[] = [];
    while (at !== null && letters.length < page.limit) {
      const bucket: number | null = at.name === '' ? await this.#bucketFrom(app, at.bucket, only) : at.bucket;
      if (bucket === null) return { letters, next: null };
      const from: Position = bucket === at.bucket ? at : { bucket, atMs: '', name: '' };
      const slice = await this.#slice(app, page, { from, limit: page.limit - letters.length });
      letters.push(...slice.letters);
      at = slice.next ?? (only === null && bucket + 1 < BUCKETS ? { bucket: bucket + 1, atMs: '', name: '' } : null);
    }
    return { letters, next: at === null ? null : encodeCursor(at) };
  }

  /** The next bucket that has letters of the app. */
  async #bucketFrom(app: AppId, first: number, only: number | null): Promise<number | null> {
    const end = only === null ? BUCKETS : first + 1;
    for (let from = first; from < end; from += COUNT_WIDTH) {
      const buckets = Array.from({ length: Math.min(COUNT_WIDTH, end - from) }, (_, i) => from + i);
      const found = await this.#counts(app, buckets);
      const bucket = buckets.find((one) => found.has(one));
      if (bucket !== undefined) return bucket;
    }
    return null;
  }

  async #slice(
    app: AppId,
    page: Page,
    { from, limit }: { from: Position; limit: number },
  ): Promise<{ letters: DeadLetter[]; next: Position | null }> {
    const start = page.device === undefined ? `${app},` : `${app},${page.device},`;
    const aside = page.state === undefined ? '' : page.state === 'held' ? 1 : 0;
    const args = [start, aside, from.atMs, from.name, limit];
    const asked = { bucket: from.bucket, key: `{${from.bucket}}y`, args };
    const [more, ...flat] = listOf(await askOne(this.#topology, this.#scripts.page, asked));
    const letters: DeadLetter[] = [];
    let name = from.name;
    for (let i = 0; i + 1 < flat.length; i += 2) {
      name = textOf(flat[i]);
      letters.push(letterOf(app, deliveryOf(name), flat[i + 1]!));
    }
    return { letters, next: more === 1 ? { bucket: from.bucket, atMs: `${letters.at(-1)!.atMs}`, name } : null };
  }

  async change(app: AppId, changes: readonly Change[]): Promise<readonly DeadLetterOutcome[]> {
    const deliveries = changes.map(({ id }) => parseLetterId(id));
    const whole = await this.#wholeRecords(app, changes, deliveries);
    const known = changes.flatMap((change, i) => {
      const delivery = deliveries[i] ?? null;
      return delivery === null || whole[i] === null ? [] : [{ i, change, delivery, record: whole[i]! }];
    });
    const asked = known.map(({ change: { action }, delivery, record }) => {
      const { bucket, key, name } = letterPlace(app, delivery);
      const lane = laneOf(delivery.stream) ?? LANE_DEFAULT;
      const stream = streamKey({ app, kind: 'device', device: delivery.device, lane }).key;
      const redrive = action.kind === 'redrive' ? [action.messageId, action.expiresAtMs] : ['', 0];
      return { bucket, key, args: [name, action.kind, stream, ...redrive, record] };
    });
    const replies = await askAll(this.#topology, this.#scripts.change, asked);
    const outcomes = whole.map((record): DeadLetterOutcome => {
      return record === null ? { kind: 'refused', reason: 'body-gone' } : { kind: 'unknown' };
    });
    known.forEach(({ i, delivery }, at) => (outcomes[i] = changeOutcome(delivery, replies[at]!)));
    return outcomes;
  }

  /**
   * A record whose body is kept with its message gets it back before it is appended under another id. '': as it was kept; null: the
   * body is gone, so that nothing can be delivered.
   */
  async #wholeRecords(
    app: AppId,
    changes: readonly Change[],
    deliveries: readonly (DeadDelivery | null)[],
  ): Promise<(Uint8Array | '' | null)[]> {
    const whole: (Uint8Array | '' | null)[] = changes.map(() => '');
    const redriven = deliveries.flatMap((delivery, i) => {
      return delivery === null || changes[i]!.action.kind !== 'redrive' ? [] : [{ i, delivery }];
    });
    const letters = await this.#lookUp(
      app,
      redriven.map(({ delivery }) => delivery),
    );
    const lacking = redriven.flatMap(({ i }, at) => {
      const letter = letters[at];
      return letter && isBodyElsewhere(letter.record) ? [{ i, letter }] : [];
    });
    const bodies = await this.#messages.bodies(
      app,
      lacking.map(({ letter }) => letter.messageId),
    );
    lacking.forEach(({ i, letter }, at) => (whole[i] = bodies[at] ? withBody(letter.record, bodies[at]) : null));
    return whole;
  }

  async #lookUp(app: AppId, deliveries: readonly DeadDelivery[]): Promise<(DeadLetter | null)[]> {
    const asked = deliveries.map((delivery) => {
      const { bucket, key, name } = letterPlace(app, delivery);
      return { bucket, key, args: [name] };
    });
    const replies = await askAll(this.#topology, this.#scripts.get, asked);
    return replies.map((reply, i) => (reply === null ? null : letterOf(app, deliveries[i]!, reply)));
  }

  /** Letters of the app by bucket; buckets without any are left out. */
  #counts(app: AppId, buckets: readonly number[]): Promise<ReadonlyMap<number, Reply>> {
    return walkBuckets(this.#topology, this.#scripts.count, { args: [app], buckets });
  }
}

function letterPlace(app: AppId, delivery: DeadDelivery): { bucket: number; key: string; name: string } {
  const { bucket } = devicePlace(app, delivery.device);
  const { device, stream, epoch, offset } = delivery;
  return { bucket, key: `{${bucket}}y`, name: `${app},${device},${stream},${epoch},${offset}` };
}

/** From a letter's name in Redis. */
function deliveryOf(name: string): DeadDelivery {
  const id = Buffer.from(name.slice(name.indexOf(',') + 1)).toString('base64url');
  return parseLetterId(id)!;
}

function letterOf(app: AppId, delivery: DeadDelivery, reply: Reply): DeadLetter {
  const [account, messageId, reason, attempts, atMs, aside, record] = listOf(reply);
  return {
    ...delivery,
    id: letterId(delivery),
    app,
    account: textOf(account) as AccountId,
    messageId: textOf(messageId) as MessageId,
    reason: textOf(reason),
    attempts: numberOf(attempts),
    atMs: numberOf(atMs),
    state: aside === 1 ? 'held' : 'dead',
    record: bytesOf(record),
  };
}

function changeOutcome({ device, stream }: DeadDelivery, reply: Reply): DeadLetterOutcome {
  if (reply === LETTER_UNKNOWN) return { kind: 'unknown' };
  if (reply === LETTER_CHANGED) return { kind: 'done', device, appended: null, record: null };
  const outcome = appendOutcome(typeof reply === 'number' ? reply - REDRIVE_REFUSED : reply);
  if (outcome.kind === 'refused') return outcome;
  const lane = laneOf(stream) ?? LANE_DEFAULT;
  return { kind: 'done', device, appended: { ...outcome, lane }, record: bytesOf(listOf(reply)[5]) };
}

function isBodyElsewhere(record: Uint8Array): boolean {
  return record.length >= RECORD_HEADER_BYTES && record[0] === 2 && decodeRecord(record).bodyElsewhere;
}

/** The record with the body of the message's own. */
function withBody(record: Uint8Array, message: Uint8Array): Uint8Array {
  return encodeRecord({ ...decodeRecord(record), body: decodeRecord(message).body, bodyElsewhere: false });
}

function encodeCursor({ bucket, atMs, name }: Position): string {
  return Buffer.from(`${bucket} ${atMs} ${name}`).toString('base64url');
}

/** Null: none, or not one of ours (then the walk starts anew). */
function decodeCursor(cursor: string | null): Position | null {
  const parts = Buffer.from(cursor ?? '', 'base64url')
    .toString()
    .split(' ');
  const bucket = Number(parts[0]);
  if (parts.length !== 3 || !Number.isInteger(bucket) || bucket < 0 || bucket >= BUCKETS || !/^\d*$/.test(parts[1]!))
    return null;
  return { bucket, atMs: parts[1]!, name: parts[2]! };
}
