// What is asked of one node in one tick: items gathered into calls of one script each, in the order asked. node.ts sends them in
// one write, at the end of the tick or as soon as there are many items or bytes; a call is bounded as well. In a Cluster a call holds items of one bucket (one slot), else any.
import type { Script } from './scripts/script.ts';
import type { Reply, Trip } from './trip.ts';

export type Argument = string | number | Uint8Array;

/** One item of an operation: which script, which key, its arguments, and whom to answer. */
export interface Item {
  readonly script: Script;
  readonly bucket: number;
  readonly key: string;
  readonly args: readonly Argument[];
  readonly trip: Trip;
  readonly index: number;
  /** Times it was sent on to another node. */
  moves: number;
}
/** One EVALSHA. */
export interface Call {
  readonly script: Script;
  readonly items: Item[];
  bytes: number;
  readonly batch: Batch;
  /** Its batch has left, and it was not answered. */
  isUnderWay: boolean;
}

/** A batch is sent before its tick ends when it has so many items or bytes: Redis works while the rest is gathered. */
export const BATCH_ITEMS_MAX = 2048;
export const BATCH_BYTES_MAX = 1024 * 1024;
/** A call takes no further item at so many bytes: a bound on what Redis copies while it serves nobody else. */
export const CALL_BYTES_MAX = 256 * 1024;

export class Batch {
  readonly calls: Call[] = [];
  readonly #open = new Map<string, Call>();
  readonly #byBucket: boolean;
  items = 0;
  bytes = 0;
  /** Among the batches of its node. */
  seq = 0;
  /** Calls under way. */
  callsLeft = 0;
  /** The timer of its answers goes with the last call. */
  cancelTimer: () => void = () => {};

  constructor(byBucket: boolean) {
    this.#byBucket = byBucket;
  }

  get isFull(): boolean {
    return this.items >= BATCH_ITEMS_MAX || this.bytes >= BATCH_BYTES_MAX;
  }

  add(item: Item): void {
    const group = this.#byBucket ? `${item.script.name} ${item.bucket}` : item.script.name;
    let call = this.#open.get(group);
    if (call === undefined || call.items.length >= item.script.itemsMax || call.bytes >= CALL_BYTES_MAX) {
      call = { script: item.script, items: [], bytes: 0, batch: this, isUnderWay: false };
      this.#open.set(group, call);
      this.calls.push(call);
    }
    const bytes = bytesOfItem(item);
    call.items.push(item);
    call.bytes += bytes;
    this.items++;
    this.bytes += bytes;
  }
}

/** What an item takes on the wire, about. */
function bytesOfItem(item: Item): number {
  let bytes = item.key.length;
  for (const arg of item.args) bytes += typeof arg === 'number' ? 8 : arg.length;
  return bytes;
}

/** Hands each item its reply. */
export function answerCall(call: Call, replies: readonly Reply[]): void {
  call.items.forEach((item, i) => item.trip.answer(item.index, replies[i] ?? null));
}
