// The id of a push with an idempotency key: made from the key and the request, so that the same push gets the same id at whichever router it
// comes again, also while no store can tell who holds the key (R13). Its time is rounded, since the repeat comes later. Pure.
import { hash } from 'node:crypto';
import { messageIdAt } from '../../protocol/ids.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';

/**
 * Time is cut into windows of this length, and a repeat within the same one gets the same id: as long as the store remembers a key, since
 * after that the same request under it is another message. A repeat across a border is found out when the store claims the key; of those
 * that come a minute later that is one in 1,440, at any time of the day, since each request has borders of its own.
 */
export const KEYED_ID_MS = LIMITS.idempotencyWindowMs;
/** Bytes of the digest that are in the id; those behind them place the borders. */
const ID_BYTES = 10;

/** @param fingerprint names the request: another one under the key has another id */
export function keyedId(
  app: AppId,
  key: string,
  at: { readonly fingerprint: string; readonly nowMs: number },
): MessageId {
  const digest = hash('sha256', JSON.stringify([app, key, at.fingerprint]), 'buffer');
  const border = digest.readUInt32BE(ID_BYTES) % KEYED_ID_MS;
  return messageIdAt(Math.floor((at.nowMs - border) / KEYED_ID_MS) * KEYED_ID_MS + border, digest);
}

/** Ids remembered, about 200 bytes each. */
export const KEYED_IDS_MAX = 10_000;

/** What was journalled here: a repeat that comes to the same router across a border has its id all the same. */
export class KeyedIds {
  /** By what an id has of the request; the oldest go first. */
  readonly #journalled = new Map<string, { readonly id: MessageId; readonly atMs: number }>();

  /** The id of a push with a key. */
  of(app: AppId, key: string, at: { readonly fingerprint: string; readonly nowMs: number }): MessageId {
    const id = keyedId(app, key, at);
    const known = this.#journalled.get(requestOf(id));
    return known !== undefined && at.nowMs - known.atMs < KEYED_ID_MS ? known.id : id;
  }

  /** The bus has it. */
  remember(id: MessageId, atMs: number): void {
    const name = requestOf(id);
    if (this.#journalled.has(name)) return;
    this.#journalled.set(name, { id, atMs });
    if (this.#journalled.size <= KEYED_IDS_MAX) return;
    const [oldest] = this.#journalled.keys();
    this.#journalled.delete(oldest!);
  }
}

/** An id without its time. */
function requestOf(id: MessageId): string {
  return id.slice(10);
}
