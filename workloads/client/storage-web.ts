// Storage of a client in a browser: one entry of localStorage (or anything with getItem and setItem) holds all of it as JSON, so that a
// save is one atomic write. Bounded: ids by STORED_IDS_MAX, positions by the session's limit, so that it stays far below the 5 MB quota.
import { STORED_IDS_MAX } from './storage.ts';
import type { Storage, StoredOutgoing, StoredState } from './storage.ts';
import type { Position, StreamName } from '../protocol/streams.ts';

/** The part of the DOM's Storage that is needed. */
export interface TextStore {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/**
 * @param key names the device's entry: one for each app and device
 * Text that is not ours counts as empty: the client then starts without positions.
 */
export function openWebStorage(store: TextStore, key: string): Storage {
  let state = parse(store.getItem(key));
  return {
    load: () => Promise.resolve(state),
    save: async (changes) => {
      const positions = new Map<StreamName, Position>(state.positions.map((p) => [p.stream, p]));
      for (const position of changes.positions ?? []) positions.set(position.stream, position);
      const outgoing = new Map<string, StoredOutgoing>(state.outgoing.map((u) => [u.key, u]));
      for (const message of changes.outgoingAdded ?? []) outgoing.set(message.key, message);
      for (const taken of changes.outgoingRemoved ?? []) outgoing.delete(taken);
      const ids = (changes.messages ?? []).map(({ stream, id }) => ({ stream, id }));
      const next: StoredState = {
        positions: [...positions.values()],
        seen: [...state.seen, ...ids].slice(-STORED_IDS_MAX),
        outgoing: [...outgoing.values()],
        session: changes.session ?? state.session,
      };
      store.setItem(key, JSON.stringify(next)); // throws when the quota is reached; then nothing was saved
      state = next;
    },
    close: () => Promise.resolve(),
  };
}

function parse(text: string | null): StoredState {
  const empty: StoredState = { positions: [], seen: [], outgoing: [], session: null };
  if (text === null) return empty;
  try {
    const value = JSON.parse(text) as Partial<StoredState> | null;
    if (!Array.isArray(value?.positions) || !Array.isArray(value.seen) || !Array.isArray(value.outgoing)) return empty;
    const { positions, seen, outgoing, session = null } = value;
    return { positions, seen, outgoing, session };
  } catch {
    return empty;
  }
}
