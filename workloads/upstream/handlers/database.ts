// database: stores each message once, in the table pushcluster_upstream of the database that PUSHCLUSTER_UPSTREAM_DATABASE names.
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { UpstreamHandler } from './handler.ts';
import { openPostgresTable } from './postgres.ts';
import { openSqliteTable } from './sqlite.ts';

/** The setting names no database that can be used. */
export class DatabaseAddressError extends Error {
  readonly code = 'database-address';
}

/** Throws DatabaseAddressError, or node:sqlite's error. The address may hold a password: it is never shown. */
export function openDatabase(url: string, options: { timeoutMs: number; clock: Clock; log: Log }): UpstreamHandler {
  if (/^postgres(ql)?:\/\//.test(url)) return openPostgresTable(url, options);
  if (url.startsWith('sqlite:')) return openSqliteTable(url.slice('sqlite:'.length), () => options.clock.nowMs());
  throw new DatabaseAddressError('database: expected postgres://… or sqlite:/path/to/file');
}
