// The parts of the SQLite store and what each is given of the others. Built once by sqlite-store.ts, whose operations call them.
import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import { SqliteDeadLetters } from './dead-letters.ts';
import { SqliteDeliveries } from './deliveries.ts';
import { SqliteDevices } from './devices.ts';
import { SqliteGroups } from './groups.ts';
import { SqliteJobs } from './jobs.ts';
import { SqliteLedger } from './ledger.ts';
import { SqliteMessages } from './messages.ts';
import { SqliteRoleLeases } from './role-leases.ts';
import { SqliteSessions } from './sessions.ts';
import { StreamRows } from './stream-rows.ts';
import { SqliteStreams } from './streams.ts';
import { SqliteSubscriptions } from './subscriptions.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { Epoch } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface Parts {
  readonly streams: SqliteStreams;
  readonly deliveries: SqliteDeliveries;
  readonly sessions: SqliteSessions;
  readonly roleLeases: SqliteRoleLeases;
  readonly devices: SqliteDevices;
  readonly subscriptions: SqliteSubscriptions;
  readonly messages: SqliteMessages;
  readonly jobs: SqliteJobs;
  readonly letters: SqliteDeadLetters;
  readonly groups: SqliteGroups;
  readonly ledger: SqliteLedger;
}

/** Prepares all statements. @param options.newLife the file's tail may be lost: streams open new epochs (R3) */
export function openParts(options: { db: DatabaseSync; clock: Clock; limits: StoreLimits; newLife: boolean }): Parts {
  const { db, clock, limits } = options;
  const ledger = new SqliteLedger(db);
  const letters = new SqliteDeadLetters({ db, clock, limits });
  const life = lifeOf(db, options.newLife);
  const shared = { db, clock, limits, rows: new StreamRows(db), ledger, letters, life, newEpoch };
  const streams = new SqliteStreams(shared);
  const subscriptions = new SqliteSubscriptions({
    db,
    ledger,
    head: (app, topic) => streams.head({ app, kind: 'topic', topic }),
  });
  const devices = new SqliteDevices({
    db,
    clock,
    idempotencyWindowMs: limits.idempotencyWindowMs,
    forgetBelongings(app, device, id) {
      streams.forgetDevice(app, device);
      subscriptions.dropAll(app, id);
    },
  });
  return {
    streams,
    deliveries: new SqliteDeliveries(shared),
    sessions: new SqliteSessions(db, clock),
    roleLeases: new SqliteRoleLeases(db, clock),
    devices,
    subscriptions,
    messages: new SqliteMessages({ db, clock, limits }),
    jobs: new SqliteJobs(db, clock),
    letters,
    groups: new SqliteGroups(db, clock, limits.groupMembersMax),
    ledger,
  };
}

function newEpoch(): Epoch {
  return randomBytes(9).toString('base64url') as Epoch;
}

/** The life of this file: made once, and anew when its tail may be lost. */
function lifeOf(db: DatabaseSync, isNew: boolean): string {
  const put = prepare(
    db,
    `INSERT INTO facts (name, value) VALUES ('life', ?) ON CONFLICT (name) DO ${isNew ? 'UPDATE SET value = excluded.value' : 'NOTHING'}`,
  );
  put.run(randomBytes(9).toString('base64url'));
  return prepare<{ value: string }>(db, "SELECT value FROM facts WHERE name = 'life'").one()!.value;
}
