// The id that follows one request through every log line and into its answer: the caller's where it sent one, else new.
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** 32 hex digits of a W3C traceparent, or an X-Trace-Id of at most 64 letters, digits, _ and -, or 32 new hex digits. */
export function traceIdOf(headers: IncomingHttpHeaders): string {
  const parent = headers['traceparent'];
  if (typeof parent === 'string') {
    const id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(parent)?.[1];
    if (id !== undefined && id !== '0'.repeat(32)) return id;
  }
  const given = headers['x-trace-id'];
  if (typeof given === 'string' && /^[\w-]{1,64}$/.test(given)) return given;
  return randomUUID().replaceAll('-', '');
}
