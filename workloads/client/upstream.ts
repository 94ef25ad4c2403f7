// Messages from this client to its business: kept until a gateway says `taken`, sent again with the same key on each new connection (A5),
// bounded. client.ts asks `due` whenever a connection serves or time passes; nothing here knows a socket.
import type { ErrorCode } from '../protocol/codes.ts';
import type { ErrorFrame, UpstreamFrame } from '../protocol/frames.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Storage, StoredUpstream } from './storage.ts';
import { isPassing } from './verdict.ts';

/** More messages wait than may be kept; the application shall slow down. */
export class UpstreamFullError extends Error {
  readonly code = 'upstream-full';
}
/** The gateway will not have this message; sending it again cannot help. */
export class UpstreamRefusedError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
/** The message cannot be sent as it is: nothing was kept. */
export class InvalidUpstreamError extends Error {
  readonly code = 'invalid-upstream';
}
/** The client was closed before the answer came; what is stored goes with its next life. */
export class ClientClosedError extends Error {
  readonly code = 'client-closed';
}

interface Pending extends StoredUpstream {
  readonly id: number;
  /** On which connection it was sent last; 0: not yet, or refused for now. */
  sentOn: number;
  notBeforeMs: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Sent and not answered on one connection at most. */
const IN_FLIGHT_MAX = 64;
const RETRY_DEFAULT_MS = 1000;

export class Upstream {
  readonly #pending = new Map<number, Pending>();
  readonly #storage: Storage;
  readonly #max: number;
  readonly #newId: () => number;
  readonly #newKey: () => string;

  constructor(options: { storage: Storage; max: number; newId: () => number; newKey: () => string }) {
    this.#storage = options.storage;
    this.#max = options.max;
    this.#newId = options.newId;
    this.#newKey = options.newKey;
  }

  get waiting(): number {
    return this.#pending.size;
  }

  /** What an earlier life of this client left. */
  restore(messages: readonly StoredUpstream[]): void {
    for (const message of messages)
      this.#add(
        message,
        () => {},
        () => {},
      );
  }

  /**
   * Keeps a message; `taken` resolves once the bus has it, and rejects with UpstreamRefusedError or ClientClosedError.
   * Rejects itself with UpstreamFullError or InvalidUpstreamError, and when it cannot be stored.
   */
  async keep(kind: string, body: unknown): Promise<{ taken: Promise<void> }> {
    if (this.#pending.size >= this.#max)
      throw new UpstreamFullError(`expected at most ${this.#max} messages waiting, got one more`);
    if (kind.length < 1 || kind.length > 64)
      throw new InvalidUpstreamError(`kind: expected 1–64 characters, got ${kind.length}`);
    const bytes = new TextEncoder().encode(JSON.stringify(body) ?? 'null').length;
    if (bytes > LIMITS.bodyBytesMax)
      throw new InvalidUpstreamError(`body: expected at most ${LIMITS.bodyBytesMax} bytes, got ${bytes}`);
    const message: StoredUpstream = { key: this.#newKey(), kind, body: body ?? null };
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const id = this.#add(message, resolve, reject);
    try {
      await this.#storage.save({ upstreamAdded: [message] });
    } catch (error) {
      this.#pending.delete(id);
      throw error;
    }
    return { taken: promise };
  }

  /** What goes to this connection now, in order; each is answered once for each connection. */
  due(conn: number, nowMs: number): UpstreamFrame[] {
    const out: UpstreamFrame[] = [];
    let inFlight = 0;
    for (const message of this.#pending.values()) {
      if (inFlight >= IN_FLIGHT_MAX) break;
      inFlight++;
      if (message.sentOn === conn) continue;
      if (message.notBeforeMs > nowMs) break; // later ones wait behind it: order is kept
      message.sentOn = conn;
      out.push({ type: 'upstream', id: message.id, kind: message.kind, key: message.key, body: message.body });
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

  /** The gateway answered `taken`. Resolves when the storage forgot it. */
  async taken(id: number): Promise<void> {
    const message = this.#pending.get(id);
    if (message === undefined) return;
    this.#pending.delete(id);
    message.resolve();
    await this.#storage.save({ upstreamRemoved: [message.key] });
  }

  /** The gateway answered with an error; false when the id is none of ours. */
  async refused(frame: ErrorFrame, nowMs: number): Promise<boolean> {
    const message = frame.id === undefined ? undefined : this.#pending.get(frame.id);
    if (message === undefined) return false;
    if (frame.retryAfterMs !== undefined || isPassing(frame.code)) {
      message.sentOn = 0;
      message.notBeforeMs = nowMs + (frame.retryAfterMs ?? RETRY_DEFAULT_MS);
      return true;
    }
    this.#pending.delete(message.id);
    message.reject(new UpstreamRefusedError(frame.code, frame.message));
    await this.#storage.save({ upstreamRemoved: [message.key] });
    return true;
  }

  stop(error: Error): void {
    for (const message of this.#pending.values()) message.reject(error);
    this.#pending.clear();
  }

  #add(message: StoredUpstream, resolve: () => void, reject: (error: Error) => void): number {
    const id = this.#newId();
    this.#pending.set(id, { ...message, id, sentOn: 0, notBeforeMs: 0, resolve, reject });
    return id;
  }
}
