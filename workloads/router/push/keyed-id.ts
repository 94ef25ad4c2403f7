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
