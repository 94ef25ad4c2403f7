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
];
