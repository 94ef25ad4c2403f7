// A call as bytes for the wire: one buffer, written once. ioredis would make a string and a buffer of each argument, which was a third of
// what a client spends on an append. Called by node.ts.
import { Command } from 'ioredis';
import type { Argument, Call } from './batch.ts';

/** What a call needs beside its items. */
export interface CallHead {
  readonly verb: 'evalsha' | 'eval';
  readonly life: string;
  readonly epoch: string;
}

/** EVALSHA (or EVAL, with the text): the keys, life and epoch, then the arguments of each item. */
export function encodeCall(call: Call, head: CallHead): Buffer {
  const { script, items } = call;
  const by = head.verb === 'eval' ? script.text : script.sha1;
  let parts = 5 + items.length;
  let most = ARGUMENT_MORE * 6 + 3 * (by.length + head.life.length + head.epoch.length);
  for (const { key, args } of items) {
    parts += args.length;
    most += ARGUMENT_MORE + 3 * key.length;
    for (const arg of args)
      most +=
        ARGUMENT_MORE + (typeof arg === 'string' ? 3 * arg.length : typeof arg === 'number' ? NUMBER_MOST : arg.length);
  }
  const wire = new Wire(most);
  wire.array(parts);
  for (const text of [head.verb, by, String(items.length)]) wire.text(text);
  for (const { key } of items) wire.text(key);
  wire.text(head.life);
  wire.text(head.epoch);
  let before: readonly Argument[] = [];
  for (const { args } of items) {
    const isSame = script.repeats && args.every((arg, i) => arg === before[i]);
    for (const arg of args) wire.argument(isSame ? '' : arg);
    before = args;
  }
  return wire.written();
}

/** The call as ioredis takes it: it writes the bytes and matches the reply. */
export class EncodedCommand extends Command {
  readonly #bytes: Buffer;

  constructor(call: Call, head: CallHead) {
    super(head.verb, [], { replyEncoding: null });
    this.#bytes = encodeCall(call, head);
  }

  override toWritable(): Buffer {
    return this.#bytes;
  }
}

/** `$`, a length, and two line ends. */
const ARGUMENT_MORE = 16;
/** Characters of a number. */
const NUMBER_MOST = 24;
/** Texts up to this are written by a loop, which for so few is sooner done than a call out of JavaScript. */
const LOOP_MAX = 64;
const CR = 13;
const LF = 10;

class Wire {
  readonly #out: Buffer;
  #at = 0;

  constructor(bytesMost: number) {
    this.#out = Buffer.allocUnsafe(bytesMost);
  }

  array(size: number): void {
    this.#header(42, size);
  }

  argument(argument: Argument): void {
    if (typeof argument === 'string') this.text(argument);
    else if (typeof argument === 'number') this.text(String(argument));
    else this.#bytes(argument);
  }

  text(text: string): void {
    const out = this.#out;
    const before = this.#at;
    if (text.length <= LOOP_MAX) {
      this.#header(36, text.length);
      let at = this.#at;
      let i = 0;
      for (; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        if (unit > 127) break;
        out[at++] = unit;
      }
      this.#at = at;
      if (i === text.length) return this.#end();
    }
    this.#at = before;
    this.#header(36, Buffer.byteLength(text));
    this.#at += out.write(text, this.#at);
    this.#end();
  }

  #bytes(bytes: Uint8Array): void {
    this.#header(36, bytes.length);
    this.#out.set(bytes, this.#at);
    this.#at += bytes.length;
    this.#end();
  }

  written(): Buffer {
    return this.#out.subarray(0, this.#at);
  }

  #header(type: number, size: number): void {
    const out = this.#out;
    out[this.#at++] = type;
    if (size > 9) {
      const digits = String(size);
      for (let i = 0; i < digits.length; i++) out[this.#at++] = digits.charCodeAt(i);
    } else out[this.#at++] = 48 + size;
    this.#end();
  }

  #end(): void {
    this.#out[this.#at++] = CR;
    this.#out[this.#at++] = LF;
  }
}
