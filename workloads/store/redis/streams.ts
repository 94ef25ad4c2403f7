// Streams in Redis: append, heads, read, settle, each one script (scripts/); this encodes the arguments and decodes the replies.
// Called by redis-store.ts; what became of single entries is outcomes.ts.
import { LANE_OF, streamKey } from './keys.ts';
import { appendScript } from './scripts/append.ts';
import { APPEND_DEAD, APPEND_REFUSALS } from './scripts/append-lib.ts';
import { HEADS, READ_REASONS, readScript } from './scripts/read.ts';
import type { Script } from './scripts/script.ts';
import { settleScript } from './scripts/settle.ts';
import { ENTRY_HEADER_BYTES } from './scripts/stream-lib.ts';
import { askAll, askEach } from './topology.ts';
import type { Topology } from './topology.ts';
import { bytesOf, listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import { PartlyUnavailableError } from '../port.ts';
import type * as port from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { Epoch, MessageId } from '../../protocol/ids.ts';

export interface StreamScripts {
  readonly append: Script;
  readonly heads: Script;
  readonly read: Script;
  readonly settle: Script;
}
export function streamScripts(limits: StoreLimits): StreamScripts {
  return { append: appendScript(limits), heads: HEADS, read: readScript(limits), settle: settleScript(limits) };
}

export class RedisStreams {
  readonly #topology: Topology;
  readonly #scripts: StreamScripts;

  constructor(topology: Topology, scripts: StreamScripts) {
    this.#topology = topology;
    this.#scripts = scripts;
  }

  async append(appends: readonly port.Append[]): Promise<readonly port.AppendOutcome[]> {
    const asked = appends.map((append) => {
      const { stream, messageId, record, expiresAtMs } = append;
      return { ...streamKey(stream), args: [messageId, record, expiresAtMs, appendOptions(append)] };
    });
    const { replies, failures } = await askEach(this.#topology, this.#scripts.append, asked);
    if (failures === null) return replies.map(appendOutcome);
    const [first] = failures.values();
    if (failures.size === replies.length) throw first!;
    const outcomes = replies.map((reply, i) => (failures.has(i) ? null : appendOutcome(reply)));
    throw new PartlyUnavailableError(outcomes, first!);
  }

  async heads(streams: readonly port.StreamRef[]): Promise<readonly port.StreamHead[]> {
    const asked = streams.map((stream) => ({ ...streamKey(stream), args: [] }));
    const replies = await askAll(this.#topology, this.#scripts.heads, asked);
    return replies.map(headOf);
  }

  async read(reads: readonly port.StreamRead[]): Promise<readonly port.ReadOutcome[]> {
    const asked = reads.map(({ stream, after, entriesMax }) => {
      return { ...streamKey(stream), args: [after?.epoch ?? '', after?.offset ?? 0, entriesMax] };
    });
    return (await askAll(this.#topology, this.#scripts.read, asked)).map(readOutcome);
  }

  async settle(settles: readonly port.Settle[]): Promise<readonly port.SettleOutcome[]> {
    const asked = settles.map(({ app, device, lane, epoch, offset, generation, gateway }) => {
      return { ...streamKey({ app, kind: 'device', device, lane }), args: [epoch, offset, generation, gateway] };
    });
    return (await askAll(this.#topology, this.#scripts.settle, asked)).map(settleOutcome);
  }
}

/** What HEADS answers for one: the meta as stored (scripts/stream-lib.ts). */
export function headOf(reply: Reply): port.StreamHead {
  if (reply === null) return { epoch: null, head: 0 };
  const [history, , head] = listOf(reply);
  return { epoch: textOf(listOf(history!).at(-2)) as Epoch, head: numberOf(head) };
}

/** As the append script takes them; most appends have none. */
function appendOptions({ overflow, collapseKey }: port.Append): string {
  if (overflow !== 'dead-letter' && collapseKey === undefined) return '';
  return `${overflow === 'dead-letter' ? 'd' : 'r'}${collapseKey ?? ''}`;
}

/** What an append script answers for one. */
export function appendOutcome(reply: Reply): port.AppendOutcome {
  if (reply === APPEND_DEAD) return { kind: 'dead', reason: 'stream-full' };
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
    const recordAt = ENTRY_HEADER_BYTES + bytes[ENTRY_HEADER_BYTES - 1]!;
    const decoded = { offset: bytes.readUIntLE(0, 6), prev, record: bytes.subarray(recordAt) };
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

const COUNTED: port.SettleOutcome = { counted: true, satisfied: [] };
const NOT_COUNTED: port.SettleOutcome = { counted: false, satisfied: [] };

function settleOutcome(reply: Reply): port.SettleOutcome {
  if (reply === 1) return COUNTED;
  if (reply === 0) return NOT_COUNTED;
  return { counted: true, satisfied: listOf(reply).map((id) => textOf(id) as MessageId) };
}

/** Lanes of a session, from OPEN_SESSION's list. */
export function lanesOf(reply: Reply): port.LaneState[] {
  return listOf(reply).map((row) => {
    const [letter, epoch, head, settled, held, attempts, attemptsOffset] = listOf(row);
    return {
      lane: LANE_OF[textOf(letter)]!,
      epoch: textOf(epoch) as Epoch,
      head: numberOf(head),
      settled: numberOf(settled),
      held: numberOf(held),
      attempts: numberOf(attempts),
      attemptsOffset: numberOf(attemptsOffset),
    };
  });
}
