// The trace: the last events of devices at this gateway, in a ring that is laid out once, so that noting one costs some stores and
// allocates nothing that lasts. write-entry.ts, the acks and connect.ts note; a router asks with the link command `trace` (link-frames.ts).
// What is settled for good the store knows (deliveryStates); the ring tells how it came about.
import type { AppId, BootId, DeviceId, Epoch, GatewayName, MessageId } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';

export const TRACE_EVENTS = ['connected', 'resumed', 'closed', 'written', 'acked', 'nacked', 'dead'] as const;
export type TraceEvent = (typeof TRACE_EVENTS)[number];
export type SessionEvent = 'connected' | 'resumed' | 'closed';
export type DeliveryEvent = Exclude<TraceEvent, SessionEvent>;

/** Of whom. A session's permission is one. */
export interface TraceOwner {
  readonly app: AppId;
  readonly device: DeviceId;
}
/** Of what. An ack is cumulative: it names a place, and no message. */
export interface TracePlace {
  readonly stream: StreamName;
  readonly epoch: Epoch | null;
  readonly offset: number;
  readonly messageId: MessageId | null;
  /** Which delivery of it this was; 0: not known. */
  readonly attempt: number;
}

/** One event as it is answered. */
export interface TracedEvent {
  readonly atMs: number;
  readonly event: TraceEvent;
  readonly app: AppId;
  readonly device: DeviceId;
  readonly stream?: StreamName;
  readonly epoch?: Epoch;
  readonly offset?: number;
  readonly messageId?: MessageId;
  readonly attempt?: number;
  /** Close code and reason, or why it was nacked or given up. */
  readonly detail?: string;
}
export interface TraceAnswer {
  readonly gateway: GatewayName;
  readonly bootId: BootId;
  /** Oldest first. */
  readonly events: readonly TracedEvent[];
}
export type TraceQuestion = { readonly device: DeviceId } | { readonly messageId: MessageId };

/** Events kept: about 1 MB; at 1,000 deliveries and acks a second the last 8 s, of quiet devices hours. */
export const TRACE_EVENTS_MAX = 16_384;
/** Events answered to one question: the newest ones. */
export const TRACE_ANSWER_MAX = 500;

export class Trace {
  readonly #nowMs: () => number;
  readonly #size: number;
  readonly #atMs: Float64Array;
  readonly #events: Uint8Array;
  readonly #offsets: Float64Array;
  readonly #attempts: Uint16Array;
  readonly #owners: (TraceOwner | null)[];
  readonly #streams: (StreamName | null)[];
  readonly #epochs: (Epoch | null)[];
  readonly #messages: (MessageId | null)[];
  readonly #details: string[];
  #next = 0;
  #filled = 0;

  /** @param nowMs time of an event; the wheel's is free */
  constructor(nowMs: () => number, size = TRACE_EVENTS_MAX) {
    this.#nowMs = nowMs;
    this.#size = size;
    this.#atMs = new Float64Array(size);
    this.#events = new Uint8Array(size);
    this.#offsets = new Float64Array(size);
    this.#attempts = new Uint16Array(size);
    this.#owners = Array.from({ length: size }, (): TraceOwner | null => null);
    this.#streams = Array.from({ length: size }, (): StreamName | null => null);
    this.#epochs = Array.from({ length: size }, (): Epoch | null => null);
    this.#messages = Array.from({ length: size }, (): MessageId | null => null);
    this.#details = Array.from({ length: size }, (): string => '');
  }

  /** Something became of a delivery. Cost: nine stores. */
  note(event: DeliveryEvent, owner: TraceOwner, place: TracePlace, detail = ''): void {
    const at = this.#put(event, owner, detail);
    this.#streams[at] = place.stream;
    this.#epochs[at] = place.epoch;
    this.#offsets[at] = place.offset;
    this.#messages[at] = place.messageId;
    this.#attempts[at] = place.attempt;
  }

  /** A session began or ended. */
  noteSession(event: SessionEvent, owner: TraceOwner, detail = ''): void {
    const at = this.#put(event, owner, detail);
    this.#streams[at] = null;
    this.#messages[at] = null;
  }

  /**
   * What is known of a device, or of one message: for it every delivery, and of the devices it was written to the acks that cover it.
   * Cost: one walk over the ring, about 0.2 ms.
   */
  find(app: AppId, question: TraceQuestion): readonly TracedEvent[] {
    const places = new Map<string, number>();
    const found: TracedEvent[] = [];
    for (let n = 0; n < this.#filled; n++) {
      const at = (this.#next - this.#filled + n + this.#size) % this.#size;
      const owner = this.#owners[at]!;
      if (owner.app !== app) continue;
      if ('device' in question ? owner.device === question.device : this.#isOf(at, question.messageId, places))
        found.push(this.#row(at, owner));
    }
    return found.slice(-TRACE_ANSWER_MAX);
  }

  #put(event: TraceEvent, owner: TraceOwner, detail: string): number {
    const at = this.#next;
    this.#next = at + 1 === this.#size ? 0 : at + 1;
    if (this.#filled < this.#size) this.#filled++;
    this.#atMs[at] = this.#nowMs();
    this.#events[at] = TRACE_EVENTS.indexOf(event);
    this.#owners[at] = owner;
    this.#details[at] = detail;
    return at;
  }

  /** Events of the message itself, and the first ack of each place it was written to. */
  #isOf(at: number, messageId: MessageId, places: Map<string, number>): boolean {
    const stream = this.#streams[at];
    if (stream === null) return false;
    const log = `${this.#owners[at]!.device} ${stream} ${this.#epochs[at] ?? ''}`;
    if (this.#messages[at] === messageId) {
      places.set(log, this.#offsets[at]!);
      return true;
    }
    const offset = places.get(log);
    if (offset === undefined || TRACE_EVENTS[this.#events[at]!] !== 'acked' || this.#offsets[at]! < offset)
      return false;
    places.delete(log);
    return true;
  }

  #row(at: number, { app, device }: TraceOwner): TracedEvent {
    const row = { atMs: this.#atMs[at]!, event: TRACE_EVENTS[this.#events[at]!]!, app, device };
    const stream = this.#streams[at];
    const detail = this.#details[at] === '' ? {} : { detail: this.#details[at]! };
    if (stream === null || stream === undefined) return { ...row, ...detail };
    const epoch = this.#epochs[at];
    const messageId = this.#messages[at];
    const attempt = this.#attempts[at]!;
    return {
      ...row,
      stream,
      ...(epoch ? { epoch } : {}),
      offset: this.#offsets[at]!,
      ...(messageId ? { messageId } : {}),
      ...(attempt > 0 ? { attempt } : {}),
      ...detail,
    };
  }
}
