// Structured logs: one JSON object a line, through pino's buffered asynchronous writer (A9). Messages are constants; what varies
// goes into keys. Secrets never reach it: credentials are logged by key id or token id only.
import pino from 'pino';

export interface Log {
  debug(keys: Readonly<Record<string, unknown>>, message: string): void;
  info(keys: Readonly<Record<string, unknown>>, message: string): void;
  warn(keys: Readonly<Record<string, unknown>>, message: string): void;
  error(keys: Readonly<Record<string, unknown>>, message: string): void;
  /** The same log with these keys on every line. */
  child(keys: Readonly<Record<string, unknown>>): Log;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Opens the process's log on a file descriptor (default 1, standard output). Buffered up to 4 KiB, flushed at exit. */
export function openLog(options: { role: string; level: LogLevel; fd?: number }): Log {
  const sink = pino.destination({ dest: options.fd ?? 1, sync: false, minLength: 4096, periodicFlush: 250 });
  return pino({ level: options.level, base: { role: options.role }, timestamp: pino.stdTimeFunctions.isoTime }, sink);
}

/** Swallows everything; for tests. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};
