// The storage port: what a client keeps across restarts. The inbox saves positions and the ids it has seen before it acks, what it sends is
// saved until it is taken, and the session's credentials so that it resumes without the registry. Implementations: memory here, SQLite for Node (storage-sqlite.ts), localStorage for browsers (storage-web.ts).
//
// A storage MUST apply all of one save or none of it, keep it once `save` resolved, and belong to one device of one app. It MUST keep the
// newest `seenIdsMax` ids for each save's order, and MAY forget older ones.
import type { MessageId } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import type { GatewayAddress, Token } from './connection-state.ts';
import type { OutgoingMessage } from './outgoing.ts';

/** A message of this client that no gateway has taken yet. */
export interface StoredOutgoing {
  /** Key of de-duplication, the same for each sending. */
  readonly key: string;
  readonly message: OutgoingMessage;
}
/** With what a client that starts again resumes without the registry. Secret as a password is, for as long as its token lasts. */
export interface StoredSession {
  /** Whose it is: another account does not resume it. */
  readonly owner: string;
  readonly token: Token | null;
  readonly ticket: string | null;
  readonly targets: readonly string[];
  readonly gateways: readonly GatewayAddress[];
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
  readonly outgoing: readonly StoredOutgoing[];
  readonly session: StoredSession | null;
}
export interface StorageChanges {
  /** Each replaces the stream's earlier position. */
  readonly positions?: readonly Position[];
  /** Handed to the application, in order. */
  readonly messages?: readonly StoredMessage[];
  readonly outgoingAdded?: readonly StoredOutgoing[];
  /** Keys that were taken. */
  readonly outgoingRemoved?: readonly string[];
  /** Replaces the one before. */
  readonly session?: StoredSession;
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
  const outgoing = new Map<string, StoredOutgoing>();
  const seen: { stream: StreamName; id: MessageId }[] = [];
  let session: StoredSession | null = null;
  return {
    load: () =>
      Promise.resolve({
        positions: [...positions.values()],
        seen: [...seen],
        outgoing: [...outgoing.values()],
        session,
      }),
    save(changes) {
      for (const position of changes.positions ?? []) positions.set(position.stream, position);
      for (const { stream, id } of changes.messages ?? []) seen.push({ stream, id });
      if (seen.length > STORED_IDS_MAX * 2) seen.splice(0, seen.length - STORED_IDS_MAX);
      for (const message of changes.outgoingAdded ?? []) outgoing.set(message.key, message);
      for (const key of changes.outgoingRemoved ?? []) outgoing.delete(key);
      session = changes.session ?? session;
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}
