// Messages of this client, to its business (`upstream`) or to other clients (`send`): kept until a gateway says that they are taken, sent
// again with the same key on each new connection (A5), bounded. client.ts has one of each kind and asks `due` whenever a connection
// serves or time passes; nothing here knows a socket.
import type { ErrorCode } from '../protocol/codes.ts';
import type { ErrorFrame, SendFrame, UpstreamFrame } from '../protocol/frames.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Storage, StoredOutgoing } from './storage.ts';
import { isPassing } from './verdict.ts';

/** More messages wait than may be kept; the application shall slow down. */
export class OutgoingFullError extends Error {
  readonly code = 'outgoing-full';
}
/** The gateway will not have this message; sending it again cannot help. */
export class OutgoingRefusedError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
/** The message cannot be sent as it is: nothing was kept. */
export class InvalidOutgoingError extends Error {
  readonly code = 'invalid-outgoing';
}
/** The client was closed before the answer came; what is stored goes with its next life. */
export class ClientClosedError extends Error {
  readonly code = 'client-closed';
}

/** Why messages wait that a gateway could have taken: it put them off, and is asked again. */
export interface PutOff {
  /** Such as `upstream-unavailable`: no bus is configured, or it does not take them now. */
  readonly code: ErrorCode;
  readonly problem: string;
}

/** What is sent, without id and key. */
export type OutgoingMessage = Omit<UpstreamFrame, 'id' | 'key'> | Omit<SendFrame, 'id' | 'key'>;

interface Pending extends StoredOutgoing {
  readonly id: number;
  /** On which connection it was sent last; 0: not yet, or refused for now. */
  sentOn: number;
  notBeforeMs: number;
  readonly resolve: (answer: string | null) => void;
  readonly reject: (error: Error) => void;
}

/** Sent and not answered on one connection at most. */
const IN_FLIGHT_MAX = 64;
const RETRY_DEFAULT_MS = 1000;

export class Outgoing {
  readonly #pending = new Map<number, Pending>();
  readonly #storage: Storage;
  readonly #max: number;
  readonly #newId: () => number;
  readonly #newKey: () => string;
  readonly #onPutOff: () => void;
  #putOff: PutOff | null = null;

  /** @param options.onPutOff `putOff` has changed */
  constructor(options: {
    storage: Storage;
    max: number;
    newId: () => number;
    newKey: () => string;
    onPutOff: () => void;
  }) {
    this.#storage = options.storage;
    this.#max = options.max;
    this.#newId = options.newId;
    this.#newKey = options.newKey;
    this.#onPutOff = options.onPutOff;
  }

  get waiting(): number {
    return this.#pending.size;
  }

  /** As the last answer said; null: nothing is put off. */
  get putOff(): PutOff | null {
    return this.#putOff;
  }

  /** What an earlier life of this client left. */
  restore(messages: readonly StoredOutgoing[]): void {
    for (const message of messages)
      this.#add(
        message,
        () => {},
        () => {},
      );
  }

  /**
   * Keeps a message; `taken` resolves once it is with the server (with the message's id, where it has one), and rejects with
   * OutgoingRefusedError or ClientClosedError. Rejects itself with OutgoingFullError or InvalidOutgoingError, and when it cannot be stored.
   */
  async keep(message: OutgoingMessage): Promise<{ taken: Promise<string | null> }> {
    if (this.#pending.size >= this.#max)
      throw new OutgoingFullError(`expected at most ${this.#max} messages waiting, got one more`);
    assertSendable(message);
    const stored: StoredOutgoing = { key: this.#newKey(), message };
    const { promise, resolve, reject } = Promise.withResolvers<string | null>();
    const id = this.#add(stored, resolve, reject);
    try {
      await this.#storage.save({ outgoingAdded: [stored] });
    } catch (error) {
      this.#pending.delete(id);
      throw error;
    }
    return { taken: promise };
  }

  /** What goes to this connection now, in order; each is answered once for each connection. */
  due(conn: number, nowMs: number): (UpstreamFrame | SendFrame)[] {
    const out: (UpstreamFrame | SendFrame)[] = [];
    let inFlight = 0;
    for (const pending of this.#pending.values()) {
      if (inFlight >= IN_FLIGHT_MAX) break;
      inFlight++;
      if (pending.sentOn === conn) continue;
      if (pending.notBeforeMs > nowMs) break; // later ones wait behind it: order is kept
      pending.sentOn = conn;
      out.push({ ...pending.message, id: pending.id, key: pending.key });
    }
    return out;
  }

  /** When something that was refused for now is due again; null: nothing is. */
  wakeAtMs(): number | null {
    let at: number | null = null;
    for (const { sentOn, notBeforeMs } of this.#pending.values())
      if (sentOn === 0 && notBeforeMs > 0 && (at === null || notBeforeMs < at)) at = notBeforeMs;
    return at;
  }

  /** The gateway answered `taken` or `sent`. Resolves when the storage forgot it. */
  async taken(id: number, messageId: string | null): Promise<void> {
    const message = this.#pending.get(id);
    if (message === undefined) return;
    this.#pending.delete(id);
    this.#say(null);
    message.resolve(messageId);
    await this.#storage.save({ outgoingRemoved: [message.key] });
  }

  /** Whether a message of this id waits for its answer. */
  has(id: number | undefined): boolean {
    return id !== undefined && this.#pending.has(id);
  }

  /** The gateway answered with an error. */
  async refused(frame: ErrorFrame, nowMs: number): Promise<void> {
    const message = frame.id === undefined ? undefined : this.#pending.get(frame.id);
    if (message === undefined) return;
    if (frame.retryAfterMs !== undefined || isPassing(frame.code)) {
      message.sentOn = 0;
      message.notBeforeMs = nowMs + (frame.retryAfterMs ?? RETRY_DEFAULT_MS);
      return this.#say({ code: frame.code, problem: frame.message });
    }
    this.#pending.delete(message.id);
    if (this.#pending.size === 0) this.#say(null);
    message.reject(new OutgoingRefusedError(frame.code, frame.message));
    await this.#storage.save({ outgoingRemoved: [message.key] });
  }

  stop(error: Error): void {
    for (const message of this.#pending.values()) message.reject(error);
    this.#pending.clear();
    this.#putOff = null;
  }

  #say(putOff: PutOff | null): void {
    const before = this.#putOff;
    this.#putOff = putOff;
    if (before?.code !== putOff?.code || before?.problem !== putOff?.problem) this.#onPutOff();
  }

  #add(message: StoredOutgoing, resolve: Pending['resolve'], reject: Pending['reject']): number {
    const id = this.#newId();
    this.#pending.set(id, { ...message, id, sentOn: 0, notBeforeMs: 0, resolve, reject });
    return id;
  }
}

function assertSendable(message: OutgoingMessage): void {
  if (message.type === 'upstream') {
    assertChars(message.kind, 'kind', 64);
    if (message.order !== undefined) assertChars(message.order, 'order', 128);
  } else if (message.ttlMs !== undefined && !(message.ttlMs >= 1 && message.ttlMs <= LIMITS.ttlMaxMs))
    throw new InvalidOutgoingError(`ttlMs: expected 1–${LIMITS.ttlMaxMs}, got ${message.ttlMs}`);
  const bytes = new TextEncoder().encode(JSON.stringify(message.body)).length;
  if (bytes > LIMITS.bodyBytesMax)
    throw new InvalidOutgoingError(`body: expected at most ${LIMITS.bodyBytesMax} bytes, got ${bytes}`);
}

function assertChars(text: string, at: string, max: number): void {
  if (text.length < 1 || text.length > max)
    throw new InvalidOutgoingError(`${at}: expected 1–${max} characters, got ${text.length}`);
}
