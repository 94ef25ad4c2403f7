// The id of a push with an idempotency key: made from the key and the request, so that the same push gets the same id at whichever router it
// comes again, also while no store can tell who holds the key (R13). Its time is rounded, since the repeat comes later. Pure.
import { hash } from 'node:crypto';
import { messageIdAt } from '../../protocol/ids.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';

/** A repeat within the same ten minutes gets the same id; one across their border is found out when the store claims the key. */
export const KEYED_ID_MS = 600_000;

/** @param fingerprint names the request: another one under the key has another id */
export function keyedId(
  app: AppId,
  key: string,
  at: { readonly fingerprint: string; readonly nowMs: number },
): MessageId {
  const digest = hash('sha256', JSON.stringify([app, key, at.fingerprint]), 'buffer');
  return messageIdAt(Math.floor(at.nowMs / KEYED_ID_MS) * KEYED_ID_MS, digest);
}

/** Ids remembered, about 200 bytes each. */
export const KEYED_IDS_MAX = 10_000;

/** What was journalled here: a repeat that comes to the same router across the border of ten minutes has its id all the same. */
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
