// The recipients of a stored list: names in chunks, and the devices behind them. Expansion, cancelling and the results of a message
// walk them.
import type { AccountId, DeviceId } from '../../protocol/ids.ts';
import type { Message, Store } from '../../store/port.ts';
import { devicesOfAccounts } from './recipients.ts';

export type ChunkStore = Pick<Store, 'messageChunk' | 'accountDevices'>;

/** Names of the chunks `from` … `to` − 1, in one trip. */
export async function namesOf(store: ChunkStore, row: Message, from: number, to: number): Promise<readonly string[]> {
  const reads = Array.from({ length: to - from }, (_, i) => store.messageChunk(row.app, row.id, from + i));
  return (await Promise.all(reads)).flatMap((names) => names ?? []);
}

/** The devices behind names of a list: the names themselves, or all devices of the accounts. */
export async function devicesOfNames(
  store: ChunkStore,
  row: Message,
  names: readonly string[],
): Promise<readonly DeviceId[]> {
  if (row.target.kind === 'devices') return names as readonly DeviceId[];
  return await devicesOfAccounts(store, row.app, names as readonly AccountId[]);
}

/** The devices of the chunks `from` … `to` − 1. */
export async function devicesOfChunks(
  store: ChunkStore,
  row: Message,
  from: number,
  to: number,
): Promise<readonly DeviceId[]> {
  return await devicesOfNames(store, row, await namesOf(store, row, from, to));
}
