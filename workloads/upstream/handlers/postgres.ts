// database, in PostgreSQL: all messages of a call in one statement, each once by its key. The table is made at the first call.
import { Pool } from 'pg';
import type { Log } from '../../runtime/log.ts';
import type { UpstreamMessage } from '../message.ts';
import { DUPLICATE, HANDLED, HandlerUnavailableError } from './handler.ts';
import type { Outcome, UpstreamHandler } from './handler.ts';

export const TABLE = 'pushcluster_upstream';
const SCHEMA = `
CREATE TABLE IF NOT EXISTS ${TABLE} (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  app text NOT NULL, device text NOT NULL, key text NOT NULL,
  account text NOT NULL, kind text NOT NULL, body jsonb NOT NULL,
  received_at timestamptz NOT NULL, stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (app, device, key)
)`;
/** Rows are numbered in the order given; a row of the same key within one statement conflicts with the one before it, too. */
const INSERT = `
INSERT INTO ${TABLE} (app, device, key, account, kind, body, received_at)
SELECT app, device, key, account, kind, body::jsonb, to_timestamp(received / 1000.0)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[])
  WITH ORDINALITY AS row (app, device, key, account, kind, body, received, place)
ORDER BY place
ON CONFLICT DO NOTHING
RETURNING app, device, key`;
/** Two starts at once: both make the table, one is told that it is there. */
const MADE_MEANWHILE = new Set(['23505', '42P07', '42710']);
const CONNECTIONS = 4;

/** @param url postgres://… Never throws: a database that is away makes messages wait. */
export function openPostgresTable(url: string, options: { timeoutMs: number; log: Log }): UpstreamHandler {
  const { timeoutMs, log } = options;
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    statement_timeout: timeoutMs,
    application_name: 'pushcluster-upstream',
  });
  // An idle connection that falls; the next call opens another.
  pool.on('error', (error) => log.warn({ problem: String(error) }, 'database connection lost'));
  let made: Promise<void> | null = null;
  const ready = (): Promise<void> => {
    made ??= makeTable(pool).catch((error: unknown) => {
      made = null;
      throw error;
    });
    return made;
  };
  return {
    batchMax: 500,
    concurrency: CONNECTIONS,
    async handle(messages) {
      try {
        await ready();
        return await insert(pool, messages);
      } catch (error) {
        if (isOfTheRow(error)) return await oneByOne(pool, messages);
        throw new HandlerUnavailableError(`postgres: ${describe(error)}`, { cause: error });
      }
    },
    close: () => pool.end(),
  };
}

async function makeTable(pool: Pool): Promise<void> {
  try {
    await pool.query(SCHEMA);
  } catch (error) {
    if (!MADE_MEANWHILE.has(codeOf(error))) throw error;
  }
}

async function insert(pool: Pool, messages: readonly UpstreamMessage[]): Promise<readonly Outcome[]> {
  const column = <T>(read: (message: UpstreamMessage) => T): T[] => messages.map(read);
  const { rows } = await pool.query<{ app: string; device: string; key: string }>(INSERT, [
    column(({ app }) => app),
    column(({ device }) => device),
    column(({ key }) => key),
    column(({ account }) => account),
    column(({ kind }) => kind),
    column(({ bodyText }) => bodyText),
    column(({ receivedAtMs }) => receivedAtMs),
  ]);
  const stored = new Set(rows.map(nameOf));
  // The first of a key was stored, a second one in the same call was not.
  return messages.map((message) => (stored.delete(nameOf(message)) ? HANDLED : DUPLICATE));
}

/** One of them cannot be stored (jsonb takes no U+0000): each alone, so that it is the only one to be rejected. */
async function oneByOne(pool: Pool, messages: readonly UpstreamMessage[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const message of messages) {
    try {
      outcomes.push(...(await insert(pool, [message])));
    } catch (error) {
      if (!isOfTheRow(error)) throw new HandlerUnavailableError(`postgres: ${describe(error)}`, { cause: error });
      outcomes.push({ kind: 'rejected', reason: `postgres: ${describe(error)}` });
    }
  }
  return outcomes;
}

function nameOf({ app, device, key }: { readonly app: string; readonly device: string; readonly key: string }): string {
  return JSON.stringify([app, device, key]);
}
/** Classes 22 (data) and 23 (constraints); limits of a program (54000) are met by bodies that nest too deep. */
function isOfTheRow(error: unknown): boolean {
  return /^(22|23|54)/.test(codeOf(error));
}
function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : '';
}
function describe(error: unknown): string {
  return error instanceof Error ? `${codeOf(error)} ${error.message}`.trim() : String(error);
}
