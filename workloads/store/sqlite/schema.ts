// The tables of the SQLite store and how a file moves from one version to the next: `PRAGMA user_version` counts the steps
// done. database.ts runs the missing ones in one transaction at open; a step that was released is never edited.

/** Step n brings a file from user_version n to n + 1. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL, device TEXT NOT NULL, account TEXT NOT NULL,
    generation INTEGER NOT NULL, revoked_at INTEGER NOT NULL,
    gateway TEXT, boot_id TEXT, connected_at INTEGER NOT NULL DEFAULT 0
  );
  CREATE UNIQUE INDEX devices_by_name ON devices (app, device);
  CREATE INDEX devices_by_account ON devices (app, account, device);
  CREATE INDEX devices_by_boot ON devices (boot_id) WHERE boot_id IS NOT NULL;
  CREATE TABLE closed_devices (
    app TEXT NOT NULL, device TEXT NOT NULL, generation INTEGER NOT NULL, closed_at INTEGER NOT NULL,
    PRIMARY KEY (app, device)
  ) WITHOUT ROWID;
  CREATE INDEX closed_devices_by_time ON closed_devices (closed_at);
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    life TEXT NOT NULL, head INTEGER NOT NULL, floor INTEGER NOT NULL,
    held INTEGER NOT NULL, bytes INTEGER NOT NULL, history TEXT NOT NULL
  );
  CREATE UNIQUE INDEX streams_by_name ON streams (app, name, kind);
  CREATE TABLE entries (
    stream INTEGER NOT NULL, offset INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, appended_at INTEGER NOT NULL, record BLOB NOT NULL
  );
  CREATE UNIQUE INDEX entries_by_offset ON entries (stream, offset);
  CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at > 0;
  CREATE INDEX entries_by_age ON entries (appended_at) WHERE appended_at > 0;
  CREATE TABLE duplicates (
    stream INTEGER NOT NULL, message_id TEXT NOT NULL,
    offset INTEGER NOT NULL, prev INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (stream, message_id)
  ) WITHOUT ROWID;
  CREATE INDEX duplicates_by_offset ON duplicates (stream, offset);
  CREATE INDEX duplicates_by_time ON duplicates (at);
  CREATE TABLE tokens (
    app TEXT NOT NULL, token TEXT NOT NULL, account TEXT NOT NULL, device TEXT NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (app, token)
  ) WITHOUT ROWID;
  CREATE INDEX tokens_by_expiry ON tokens (expires_at);
  CREATE INDEX tokens_by_device ON tokens (app, device);
  CREATE TABLE subscriptions (
    device INTEGER NOT NULL, topic TEXT NOT NULL, epoch TEXT, offset INTEGER NOT NULL,
    PRIMARY KEY (device, topic)
  ) WITHOUT ROWID;
  CREATE TABLE leases (
    gateway TEXT PRIMARY KEY, boot_id TEXT NOT NULL, link_address TEXT NOT NULL,
    connections INTEGER NOT NULL, started_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE claims (
    app TEXT NOT NULL, key TEXT NOT NULL, message_id TEXT NOT NULL, fingerprint TEXT NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (app, key)
  ) WITHOUT ROWID;
  CREATE INDEX claims_by_expiry ON claims (expires_at);
  `,
  `
  ALTER TABLE streams ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE streams ADD COLUMN attempts_offset INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE entries ADD COLUMN satisfies TEXT;
  ALTER TABLE entries ADD COLUMN collapse_key TEXT;
  CREATE INDEX entries_by_collapse_key ON entries (stream, collapse_key) WHERE collapse_key IS NOT NULL;
  -- state: NULL while a device's entry waits, then how it ended, at "at"; '' in topics, which do not know.
  ALTER TABLE duplicates ADD COLUMN state TEXT;
  ALTER TABLE duplicates ADD COLUMN gateway TEXT;
  UPDATE duplicates SET state = '' WHERE stream IN (SELECT id FROM streams WHERE kind = 'topic')
    OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.stream = duplicates.stream AND e.offset = duplicates.offset);
  DROP INDEX duplicates_by_time;
  CREATE INDEX duplicates_by_time ON duplicates (at) WHERE state IS NOT NULL;
  ALTER TABLE subscriptions ADD COLUMN filter TEXT;
  ALTER TABLE subscriptions ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE subscriptions ADD COLUMN app TEXT NOT NULL DEFAULT '';
  ALTER TABLE subscriptions ADD COLUMN name TEXT NOT NULL DEFAULT '';
  UPDATE subscriptions SET (app, name) = (SELECT app, device FROM devices WHERE id = subscriptions.device);
  CREATE INDEX subscriptions_by_topic ON subscriptions (app, topic, name);
  CREATE TABLE subscriber_counts (
    app TEXT NOT NULL, topic TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (app, topic)
  ) WITHOUT ROWID;
  INSERT INTO subscriber_counts SELECT app, topic, count(*) FROM subscriptions WHERE topic <> '$all' GROUP BY app, topic;
  CREATE TABLE ledger (
    app TEXT PRIMARY KEY, accepted INTEGER NOT NULL DEFAULT 0, acked INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
    filtered INTEGER NOT NULL DEFAULT 0, all_accepted INTEGER NOT NULL DEFAULT 0, all_acked INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  -- What waits in a file from before the ledger is what it begins with.
  INSERT INTO ledger (app, accepted) SELECT app, sum(n) FROM (
    SELECT app, held AS n FROM streams WHERE kind <> 'topic'
    UNION ALL
    SELECT s.app, t.head - s.offset FROM subscriptions s
      JOIN streams t ON t.app = s.app AND t.name = s.topic AND t.kind = 'topic' WHERE s.topic <> '$all'
  ) GROUP BY app;
  CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY, app TEXT NOT NULL, device TEXT NOT NULL, account TEXT NOT NULL,
    stream TEXT NOT NULL, message_id TEXT NOT NULL, epoch TEXT NOT NULL, offset INTEGER NOT NULL,
    reason TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL, record BLOB NOT NULL
  );
  CREATE UNIQUE INDEX dead_letters_by_delivery ON dead_letters (app, device, stream, epoch, offset);
  CREATE INDEX dead_letters_by_device ON dead_letters (app, device, seq);
  CREATE INDEX dead_letters_by_app ON dead_letters (app, seq);
  CREATE INDEX dead_letters_by_time ON dead_letters (at);
  CREATE TABLE messages (
    app TEXT NOT NULL, id TEXT NOT NULL, target TEXT NOT NULL, lane TEXT NOT NULL, state TEXT NOT NULL,
    accepted_at INTEGER NOT NULL, due_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    recipients INTEGER NOT NULL, chunks INTEGER NOT NULL, chunks_done INTEGER NOT NULL,
    options TEXT NOT NULL, kept_until INTEGER NOT NULL, record BLOB
  );
  CREATE UNIQUE INDEX messages_by_id ON messages (app, id);
  CREATE INDEX messages_by_time ON messages (kept_until);
  CREATE TABLE message_chunks (
    app TEXT NOT NULL, id TEXT NOT NULL, part INTEGER NOT NULL, names TEXT NOT NULL, kept_until INTEGER NOT NULL
  );
  CREATE UNIQUE INDEX message_chunks_by_id ON message_chunks (app, id, part);
  CREATE INDEX message_chunks_by_time ON message_chunks (kept_until);
  CREATE TABLE jobs (
    app TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, due_at INTEGER NOT NULL, ready_at INTEGER NOT NULL,
    claims INTEGER NOT NULL, payload BLOB NOT NULL
  );
  CREATE UNIQUE INDEX jobs_by_id ON jobs (app, id);
  CREATE INDEX jobs_by_time ON jobs (kind = 'notice', ready_at);
  CREATE TABLE groups (
    app TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, created_at INTEGER NOT NULL, members INTEGER NOT NULL,
    PRIMARY KEY (app, name)
  ) WITHOUT ROWID;
  CREATE TABLE group_members (
    app TEXT NOT NULL, name TEXT NOT NULL, account TEXT NOT NULL,
    PRIMARY KEY (app, name, account)
  ) WITHOUT ROWID;
  CREATE TABLE role_leases (
    role TEXT NOT NULL, boot_id TEXT NOT NULL, name TEXT NOT NULL, link_address TEXT NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (role, boot_id)
  ) WITHOUT ROWID;
  `,
  `
  ALTER TABLE messages ADD COLUMN chunk_marks TEXT NOT NULL DEFAULT '';
  DROP INDEX jobs_by_time;
  -- 1: notices, 2: spans, 0: other work.
  CREATE INDEX jobs_by_time ON jobs ((kind = 'notice') + 2 * (kind = 'span'), ready_at);
  `,
];
