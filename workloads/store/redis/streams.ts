// Streams in Redis: append, heads, read, settle, sweep, each one script (scripts/); this encodes the arguments and decodes the
// replies. Called by redis-store.ts.
import { BUCKETS, LANE_OF, streamKey } from './keys.ts';
import { APPEND_REFUSALS, appendScript } from './scripts/append.ts';
import { HEADS, READ_REASONS, readScript } from './scripts/read.ts';
import { COUNT_DUE, settleScript, sweepExpiredScript } from './scripts/settle.ts';
import type { Script } from './scripts/script.ts';
import { askAll, askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { bytesOf, listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import type * as port from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { Epoch } from '../../protocol/ids.ts';

/** Bytes before the record of an entry: offset, expires at, appended at. */
const ENTRY_HEADER_BYTES = 18;
/** Buckets swept at once. */
const SWEEP_WIDTH = 64;

export class RedisStreams {
  readonly scripts: readonly Script[];
  readonly #topology: Topology;
  readonly #append: Script;
  readonly #read: Script;
  readonly #settle: Script;
  readonly #sweep: Script;

  constructor(topology: Topology, scripts: StreamScripts) {
    this.#topology = topology;
    this.#append = scripts.append;
    this.#read = scripts.read;
    this.#settle = scripts.settle;
    this.#sweep = scripts.sweep;
    this.scripts = Object.values(scripts);
  }

  async append(appends: readonly port.Append[]): Promise<readonly port.AppendOutcome[]> {
    const asked = appends.map(({ stream, messageId, record, expiresAtMs }) => {
      return { ...streamKey(stream), args: [messageId, record, expiresAtMs] };
    });
    return (await askAll(this.#topology, this.#append, asked)).map(appendOutcome);
  }

  async heads(streams: readonly port.StreamRef[]): Promise<readonly port.StreamHead[]> {
    const asked = streams.map((stream) => ({ ...streamKey(stream), args: [] }));
    const replies = await askAll(this.#topology, HEADS, asked);
    return replies.map((reply) => {
      if (reply === null) return { epoch: null, head: 0 };
      const [epoch, head] = listOf(reply);
      return { epoch: textOf(epoch) as Epoch, head: numberOf(head) };
    });
  }

  async read(reads: readonly port.StreamRead[]): Promise<readonly port.ReadOutcome[]> {
    const asked = reads.map(({ stream, after, entriesMax }) => {
      return { ...streamKey(stream), args: [after?.epoch ?? '', after?.offset ?? 0, entriesMax] };
    });
    return (await askAll(this.#topology, this.#read, asked)).map(readOutcome);
  }

  async settle(settles: readonly port.Settle[]): Promise<readonly port.SettleOutcome[]> {
    const asked = settles.map(({ app, device, lane, epoch, offset, generation }) => {
      return { ...streamKey({ app, kind: 'device', device, lane }), args: [epoch, offset, generation] };
    });
    return (await askAll(this.#topology, this.#settle, asked)).map((reply) => ({
      counted: reply === 1,
      satisfied: [],
    }));
  }

  /** Buckets with something due, from one on that differs each time; then those, some at once, until the limit. */
  async sweep(limit: number): Promise<number> {
    const first = Math.floor(Math.random() * BUCKETS);
    const buckets = Array.from({ length: BUCKETS }, (_, i) => (first + i) % BUCKETS);
    const counts = await askAll(
      this.#topology,
      COUNT_DUE,
      buckets.map((bucket) => ({ bucket, key: `{${bucket}}c`, args: [] })),
    );
    const due = buckets.filter((_, i) => counts[i] !== 0);
    let dropped = 0;
    while (due.length > 0 && dropped < limit) {
      const wave = due.splice(0, Math.min(SWEEP_WIDTH, limit - dropped));
      const share = Math.floor((limit - dropped) / wave.length);
      const asked = wave.map((bucket) => ({ bucket, key: `{${bucket}}c`, args: [share] }));
      for (const reply of await askAll(this.#topology, this.#sweep, asked)) dropped += numberOf(reply);
      // A bucket that used up its share may hold more: once more, when the limit allows.
      if (due.length === 0 && dropped < limit) dropped += await this.#sweepRest(wave, limit - dropped);
    }
    return dropped;
  }

  async #sweepRest(buckets: readonly number[], limit: number): Promise<number> {
    let dropped = 0;
    for (const bucket of buckets) {
      if (dropped >= limit) break;
      dropped += numberOf(
        await askOne(this.#topology, this.#sweep, { bucket, key: `{${bucket}}c`, args: [limit - dropped] }),
      );
    }
    return dropped;
  }
}

export interface StreamScripts {
  readonly append: Script;
  readonly heads: Script;
  readonly read: Script;
  readonly settle: Script;
  readonly countDue: Script;
  readonly sweep: Script;
}
export function streamScripts(limits: StoreLimits): StreamScripts {
  return {
    append: appendScript(limits),
    heads: HEADS,
    read: readScript(limits),
    settle: settleScript(limits),
    countDue: COUNT_DUE,
    sweep: sweepExpiredScript(limits),
  };
}

function appendOutcome(reply: Reply): port.AppendOutcome {
  if (typeof reply === 'number')
    return { kind: 'refused', reason: APPEND_REFUSALS[reply as keyof typeof APPEND_REFUSALS] };
  const [epoch, offset, prev, duplicate] = listOf(reply);
  return {
    kind: 'appended',
    epoch: textOf(epoch) as Epoch,
    offset: numberOf(offset),
    prev: numberOf(prev),
    duplicate: duplicate === 1,
  };
}

function readOutcome(reply: Reply): port.ReadOutcome {
  const [epoch, reason, from, head, complete, ...raw] = listOf(reply);
  let prev = numberOf(from);
  const entries = raw.map((entry) => {
    const bytes = bytesOf(entry);
    const decoded = { offset: bytes.readUIntLE(0, 6), prev, record: bytes.subarray(ENTRY_HEADER_BYTES) };
    prev = decoded.offset;
    return decoded;
  });
  return {
    epoch: (textOf(epoch) || null) as Epoch | null,
    notRecovered: READ_REASONS[numberOf(reason)] ?? null,
    from: numberOf(from),
    entries,
    head: numberOf(head),
    complete: complete === 1,
  };
}

/** Lanes of a session, from OPEN_SESSION's list. */
export function lanesOf(reply: Reply): port.LaneState[] {
  const flat = listOf(reply);
  const lanes: port.LaneState[] = [];
  for (let i = 0; i + 3 < flat.length; i += 4) {
    const lane = LANE_OF[textOf(flat[i])]!;
    lanes.push({
      lane,
      epoch: textOf(flat[i + 1]) as Epoch,
      head: numberOf(flat[i + 2]),
      settled: numberOf(flat[i + 3]),
      held: 0,
      attempts: 0,
      attemptsOffset: 0,
    });
  }
  return lanes;
}
