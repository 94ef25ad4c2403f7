// What is asked of one node in one tick: items gathered into calls of one script each, in the order asked. node.ts sends them in
// one write. In a Cluster a call holds items of one bucket (one slot), unless it is a walk;
// elsewhere any.
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
}

export class Batch {
  readonly calls: Call[] = [];
  readonly #open = new Map<string, Call>();
  readonly #byBucket: boolean;
  items = 0;

  constructor(byBucket: boolean) {
    this.#byBucket = byBucket;
  }

  add(item: Item): void {
    const group = this.#byBucket && !item.script.isWalk ? `${item.script.name} ${item.bucket}` : item.script.name;
    let call = this.#open.get(group);
    if (call === undefined || call.items.length >= item.script.itemsMax) {
      call = { script: item.script, items: [] };
      this.#open.set(group, call);
      this.calls.push(call);
    }
    call.items.push(item);
    this.items++;
  }
}

/** The arguments of EVALSHA (`by` is the SHA-1) or EVAL (`by` is the text). */
export function encodeCall(
  call: Call,
  by: string,
  shared: { readonly life: string; readonly epoch: string },
): (string | number | Buffer)[] {
  const out: (string | number | Buffer)[] = [by];
  if (call.script.isWalk) {
    // Redis is told one key, of a slot that the node has; the others are arguments.
    out.push(1, call.items[0]!.key, shared.life, shared.epoch);
    for (const item of call.items) out.push(item.key);
  } else {
    out.push(call.items.length);
    for (const item of call.items) out.push(item.key);
    out.push(shared.life, shared.epoch);
  }
  for (const item of call.items) {
    for (const arg of item.args) out.push(arg instanceof Uint8Array ? asBuffer(arg) : arg);
  }
  return out;
}

/** The same memory as a Buffer. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Hands each item its reply. */
export function answerCall(call: Call, replies: readonly Reply[]): void {
  call.items.forEach((item, i) => item.trip.answer(item.index, replies[i] ?? null));
}
