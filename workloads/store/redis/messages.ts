// Messages in Redis: each a string with a TTL, its whole record and the chunks of its recipients beside it in the same bucket. Records
// that streams refer to are kept in the process for a while. Called by redis-store.ts.
import { BodyCache } from './body-cache.ts';
import { textKey } from './keys.ts';
import { CHANGE_MESSAGE, GET_BYTES, GET_MESSAGE, PUT_BYTES, PUT_MESSAGE } from './scripts/messages.ts';
import { askAll, askEach, askOne } from './topology.ts';
import type { Answers, Asked, Topology } from './topology.ts';
import { bytesOf, listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import { PartlyUnavailableError } from '../port.ts';
import type { StoreUnavailableError } from '../port.ts';
import type { Message, MessageChange, MessageChunk, MessageState, MessageTarget } from '../port.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { RECORD_HEADER_BYTES, recordExpiresAtMs } from '../../protocol/record.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { Clock } from '../../runtime/clock.ts';

export const MESSAGE_SCRIPTS = [CHANGE_MESSAGE, GET_BYTES, GET_MESSAGE, PUT_BYTES, PUT_MESSAGE] as const;

/** Bodies kept in the process: about 250 of the largest, 30,000 of 100 bytes. */
const BODIES_BYTES_MAX = 8 * 1024 * 1024;
const BODIES_MS = 60_000;

export class RedisMessages {
  readonly #topology: Topology;
  readonly #keptMs: number;
  readonly #clock: Clock;
  readonly #bodies = new BodyCache(BODIES_BYTES_MAX);

  constructor(topology: Topology, more: { readonly keptMs: number; readonly clock: Clock }) {
    this.#topology = topology;
    this.#keptMs = more.keptMs;
    this.#clock = more.clock;
  }

  /** Records and chunks are there before the message that promises them, or with it; without them it is not put. */
  async put(messages: readonly Message[], chunks: readonly MessageChunk[]): Promise<void> {
    const lost: Lost = new Map();
    const bytes = this.#bytesOf(messages, chunks);
    noteLost(lost, bytes, await askEach(this.#topology, PUT_BYTES, bytes));
    const rows = messages
      .filter((message) => lost.size === 0 || !lost.has(nameOf(message)))
      .map((message) => {
        const { app, id, dueAtMs } = message;
        return { ...textKey('i', app, id), args: [valuesOf(message), dueAtMs, this.#keptMs], app, id };
      });
    noteLost(lost, rows, await askEach(this.#topology, PUT_MESSAGE, rows));
    if (lost.size === 0) return;
    const [first] = lost.values();
    const outcomes = messages.map((message) => (lost.has(nameOf(message)) ? null : true));
    const isPartly = outcomes.includes(true) && outcomes.includes(null);
    throw isPartly ? new PartlyUnavailableError(outcomes, first!) : first!;
  }

  #bytesOf(messages: readonly Message[], chunks: readonly MessageChunk[]): (Asked & Named)[] {
    const dueAtMs = new Map(messages.map((message) => [nameOf(message), message.dueAtMs]));
    return [
      ...chunks.map(({ app, id, index, names }) => {
        const due = dueAtMs.get(nameOf({ app, id })) ?? 0;
        return { ...chunkKey(app, id, index), args: [names.join('\n'), due, this.#keptMs, 0], app, id };
      }),
      ...messages.flatMap(({ app, id, record, dueAtMs: due, expiresAtMs }) => {
        if (record === null) return [];
        const keptMs = expiresAtMs === 0 ? LIMITS.ttlMaxMs : this.#keptMs;
        return [{ ...textKey('b', app, id), args: [record, due, keptMs, expiresAtMs], app, id }];
      }),
    ];
  }

  async get(app: AppId, ids: readonly MessageId[]): Promise<readonly (Message | null)[]> {
    const asked = ids.map((id) => ({ ...textKey('i', app, id), args: [] }));
    const [rows, records] = await Promise.all([askAll(this.#topology, GET_MESSAGE, asked), this.bodies(app, ids)]);
    return rows.map((row, i) => (row === null ? null : messageOf({ app, id: ids[i]! }, row, records[i]!)));
  }

  async change(app: AppId, id: MessageId, change: MessageChange): Promise<Message | null> {
    const { state = '', chunksDone = '', done, expect } = change;
    const args = [state, chunksDone, done?.from ?? '', done?.to ?? '', expect.join(' ')];
    const row = await askOne(this.#topology, CHANGE_MESSAGE, { ...textKey('i', app, id), args });
    return row === null ? null : messageOf({ app, id }, row, (await this.bodies(app, [id]))[0]!);
  }

  async chunk(app: AppId, id: MessageId, index: number): Promise<readonly string[] | null> {
    const reply = await askOne(this.#topology, GET_BYTES, { ...chunkKey(app, id, index), args: [] });
    if (reply === null) return null;
    const text = textOf(reply);
    return text === '' ? [] : text.split('\n');
  }

  async bodies(app: AppId, ids: readonly MessageId[]): Promise<readonly (Uint8Array | null)[]> {
    const nowMs = this.#clock.nowMs();
    const found = ids.map((id) => this.#bodies.get(`${app}/${id}`, nowMs));
    const missing = ids.filter((_, i) => found[i] === null);
    const asked = missing.map((id) => ({ ...textKey('b', app, id), args: [] }));
    const replies = await askAll(this.#topology, GET_BYTES, asked);
    const read = new Map<MessageId, Uint8Array>();
    replies.forEach((reply, i) => {
      if (reply === null) return;
      const bytes = bytesOf(reply);
      read.set(missing[i]!, bytes);
      this.#bodies.put(`${app}/${missing[i]!}`, bytes, keptUntilMs(bytes, nowMs));
    });
    return ids.map((id, i) => found[i] ?? read.get(id) ?? null);
  }
}

interface Named {
  readonly app: AppId;
  readonly id: MessageId;
}
/** Messages of which something failed, by name. */
type Lost = Map<string, StoreUnavailableError>;

function nameOf({ app, id }: Named): string {
  return `${app}/${id}`;
}

function noteLost(lost: Lost, asked: readonly Named[], { failures }: Answers): void {
  failures?.forEach((error, index) => lost.set(nameOf(asked[index]!), error));
}

/** A record that ran out is nobody's any more, in the process as in Redis. */
function keptUntilMs(record: Uint8Array, nowMs: number): number {
  const expiresAtMs = record.length < RECORD_HEADER_BYTES ? 0 : recordExpiresAtMs(record);
  return expiresAtMs > 0 ? Math.min(expiresAtMs, nowMs + BODIES_MS) : nowMs + BODIES_MS;
}

function chunkKey(app: AppId, id: MessageId, index: number): { bucket: number; key: string } {
  const { bucket, key } = textKey('j', app, id);
  return { bucket, key: `${key}/${index}` };
}

/** In the order of scripts/messages.ts, as JSON. */
function valuesOf(message: Message): string {
  const { target, lane, state, acceptedAtMs, dueAtMs, expiresAtMs, recipients, chunks, chunksDone } = message;
  const { options, chunkMarks } = message;
  const values = [
    JSON.stringify(target),
    lane,
    state,
    acceptedAtMs,
    dueAtMs,
    expiresAtMs,
    recipients,
    chunks,
    chunksDone,
  ];
  return JSON.stringify(options === '' && chunkMarks === '' ? values : [...values, options, chunkMarks]);
}

function messageOf(of: { app: AppId; id: MessageId }, row: Reply, record: Uint8Array | null): Message {
  const [target, lane, state, acceptedAtMs, dueAtMs, expiresAtMs, recipients, chunks, chunksDone, options, marks] =
    listOf(row);
  return {
    ...of,
    target: JSON.parse(textOf(target)) as MessageTarget,
    lane: textOf(lane) as Lane,
    state: textOf(state) as MessageState,
    acceptedAtMs: numberOf(acceptedAtMs),
    dueAtMs: numberOf(dueAtMs),
    expiresAtMs: numberOf(expiresAtMs),
    recipients: numberOf(recipients),
    chunks: numberOf(chunks),
    chunksDone: numberOf(chunksDone),
    chunkMarks: marks === undefined ? '' : textOf(marks),
    record,
    options: options === undefined ? '' : textOf(options),
  };
}
