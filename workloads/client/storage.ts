// The storage port: what a client keeps across restarts. The inbox saves positions and the ids it has seen before it acks, upstream what
// is not yet taken. Implementations: memory here, SQLite for Node (storage-sqlite.ts), localStorage for browsers (storage-web.ts).
//
// A storage MUST apply all of one save or none of it, keep it once `save` resolved, and belong to one device of one app. It MUST keep the
// newest `seenIdsMax` ids for each save's order, and MAY forget older ones.
import type { MessageId } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';

/** A message of this client to its business that no gateway has taken yet. */
export interface StoredUpstream {
  /** Key of de-duplication, the same for each sending. */
  readonly key: string;
  readonly kind: string;
  readonly body: unknown;
}
/** A message that the application was given, as far as a storage wants to keep it. */
export interface StoredMessage {
  readonly stream: StreamName;
  readonly id: MessageId;
  readonly sentAtMs: number;
  readonly attributes: Readonly<Record<string, unknown>> | null;
  readonly body: unknown;
}
export interface StoredState {
  readonly positions: readonly Position[];
  /** Oldest first. */
  readonly seen: readonly { readonly stream: StreamName; readonly id: MessageId }[];
  /** Oldest first. */
  readonly upstream: readonly StoredUpstream[];
}
export interface StorageChanges {
  /** Each replaces the stream's earlier position. */
  readonly positions?: readonly Position[];
  /** Handed to the application, in order. */
  readonly messages?: readonly StoredMessage[];
  readonly upstreamAdded?: readonly StoredUpstream[];
  /** Keys that were taken. */
  readonly upstreamRemoved?: readonly string[];
}
export interface Storage {
  load(): Promise<StoredState>;
  save(changes: StorageChanges): Promise<void>;
  close(): Promise<void>;
}

/** Ids that a storage keeps for de-duplication after a restart. */
export const STORED_IDS_MAX = 1000;

/** Keeps nothing beyond the process: for tests, and for clients that start afresh each time. */
export function openMemoryStorage(): Storage {
  const positions = new Map<StreamName, Position>();
  const upstream = new Map<string, StoredUpstream>();
  const seen: { stream: StreamName; id: MessageId }[] = [];
  return {
    load: () =>
      Promise.resolve({ positions: [...positions.values()], seen: [...seen], upstream: [...upstream.values()] }),
    save(changes) {
      for (const position of changes.positions ?? []) positions.set(position.stream, position);
      for (const { stream, id } of changes.messages ?? []) seen.push({ stream, id });
      if (seen.length > STORED_IDS_MAX * 2) seen.splice(0, seen.length - STORED_IDS_MAX);
      for (const message of changes.upstreamAdded ?? []) upstream.set(message.key, message);
      for (const key of changes.upstreamRemoved ?? []) upstream.delete(key);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}
