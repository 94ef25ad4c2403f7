// Record → WebSocket frame, once for each message and `prev`, whoever hears it. fanout.ts, deliver.ts and pages.ts hold one encoder for
// each record they pass on; what is asked of the record on the way (filters, conflation key) is found once as well.
import { encodeMessage } from '../../protocol/json-codec.ts';
import { conflationKeyOf, decodeRecord } from '../../protocol/record.ts';
import type { MessageRecord } from '../../protocol/record.ts';
import type { StreamName } from '../../protocol/streams.ts';
import { parseAttributes } from './filter.ts';
import type { Filter } from './filter.ts';
import { textFrame } from './ws-frame.ts';

/** One message of one stream on its way to one or many clients. */
export class MessageEncoder {
  readonly record: MessageRecord;
  readonly offset: number;
  /** Nothing in its record asks for care: no attempts or ack timeout of its own, no body that is missing. */
  readonly isPlain: boolean;
  /** Its body is elsewhere, and was not found there (any more). */
  readonly isBodyMissing: boolean;
  readonly #stream: StreamName;
  #prev = -1;
  #frame: Uint8Array | null = null;
  #others: Map<number, Uint8Array> | null = null;
  #attributes: Readonly<Record<string, unknown>> | null = null;
  #verdicts: Map<Filter, boolean> | null = null;

  /** Decodes the record's header, or takes it as decoded; throws InvalidRecordError. Offset 0: live. */
  constructor(stream: StreamName, offset: number, record: Uint8Array | MessageRecord) {
    this.record = record instanceof Uint8Array ? decodeRecord(record) : record;
    this.offset = offset;
    const { attemptsMax, ackTimeoutMs, bodyElsewhere, body } = this.record;
    this.isBodyMissing = bodyElsewhere && body.length === 0;
    this.isPlain = attemptsMax === 0 && ackTimeoutMs === 0 && !this.isBodyMissing;
    this.#stream = stream;
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

  /** A frame for one client: written again, or without its body. */
  frameFor(prev: number, more: { readonly attempt: number; readonly idOnly: boolean }): Uint8Array {
    return textFrame(encodeMessage(this.record, { stream: this.#stream, offset: this.offset, prev, ...more }));
  }

  /** Whether a session with this filter wants it. Cost: one evaluation for each distinct filter. */
  passes(filter: Filter): boolean {
    this.#verdicts ??= new Map();
    let verdict = this.#verdicts.get(filter);
    if (verdict === undefined) {
      verdict = filter.passes(this.record, () => (this.#attributes ??= parseAttributes(this.record)));
      this.#verdicts.set(filter, verdict);
    }
    return verdict;
  }

  /** Of one key of a stream a slow client gets the newest; null: it has none. */
  conflationKey(): string | null {
    const key = conflationKeyOf(this.record.attributes);
    return key === null ? null : `${this.#stream} ${key}`;
  }

  #encode(prev: number): Uint8Array {
    return textFrame(encodeMessage(this.record, { stream: this.#stream, offset: this.offset, prev }));
  }
}
