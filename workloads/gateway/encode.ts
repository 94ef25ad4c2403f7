// Record → WebSocket frame, once for each message and `prev`, whoever hears it. fanout.ts, deliver.ts and pages.ts hold one encoder for
// each record they pass on.
import { encodeMessage } from '../protocol/json-codec.ts';
import { decodeRecord } from '../protocol/record.ts';
import type { MessageRecord } from '../protocol/record.ts';
import type { StreamName } from '../protocol/streams.ts';
import { textFrame } from './ws-frame.ts';

/** One message of one stream on its way to one or many clients. */
export class MessageEncoder {
  readonly #record: MessageRecord;
  readonly #stream: StreamName;
  readonly #offset: number;
  #prev = -1;
  #frame: Uint8Array | null = null;
  #others: Map<number, Uint8Array> | null = null;

  /** Decodes the record's header; throws InvalidRecordError. Offset 0: live. */
  constructor(stream: StreamName, offset: number, record: Uint8Array) {
    this.#record = decodeRecord(record);
    this.#stream = stream;
    this.#offset = offset;
  }

  /** The frame for clients whose last message of this stream was `prev`. Nearly always it is the same for all. */
  frame(prev: number): Uint8Array {
    if (this.#prev === prev && this.#frame !== null) return this.#frame;
    if (this.#frame === null) {
      this.#prev = prev;
      return (this.#frame = this.#encode(prev));
    }
    this.#others ??= new Map();
    let frame = this.#others.get(prev);
    if (frame === undefined) this.#others.set(prev, (frame = this.#encode(prev)));
    return frame;
  }

  #encode(prev: number): Uint8Array {
    return textFrame(encodeMessage(this.#record, { stream: this.#stream, offset: this.#offset, prev }));
  }
}
