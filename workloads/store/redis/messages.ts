// Messages in Redis: each a string with a TTL, its whole record and the chunks of its recipients beside it in the same bucket. Records
// that streams refer to are kept in the process for a while. Called by redis-store.ts.
import { BodyCache } from './body-cache.ts';
import { textKey } from './keys.ts';
import { CHANGE_MESSAGE, GET_BYTES, GET_MESSAGE, PUT_BYTES, PUT_MESSAGE } from './scripts/messages.ts';
import { askAll, askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { bytesOf, listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
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

  /** Records and chunks are there before the message that promises them, or with it. */
  async put(messages: readonly Message[], chunks: readonly MessageChunk[]): Promise<void> {
    const dueAtMs = new Map(messages.map(({ app, id, dueAtMs: due }) => [`${app}/${id}`, due]));
    const bytes = [
      ...chunks.map((chunk) => {
        const due = dueAtMs.get(`${chunk.app}/${chunk.id}`) ?? 0;
        return { ...chunkKey(chunk.app, chunk.id, chunk.index), args: [chunk.names.join('\n'), due, this.#keptMs, 0] };
      }),
      ...messages.flatMap(({ app, id, record, dueAtMs: due, expiresAtMs }) => {
        if (record === null) return [];
        const keptMs = expiresAtMs === 0 ? LIMITS.ttlMaxMs : this.#keptMs;
        return [{ ...textKey('b', app, id), args: [record, due, keptMs, expiresAtMs] }];
      }),
    ];
    await askAll(this.#topology, PUT_BYTES, bytes);
    const rows = messages.map((message) => {
      return { ...textKey('i', message.app, message.id), args: [valuesOf(message), message.dueAtMs, this.#keptMs] };
    });
    await askAll(this.#topology, PUT_MESSAGE, rows);
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
