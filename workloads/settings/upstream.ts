// Settings of the upstream role. Times carry their arithmetic.
import { busSettings } from './bus.ts';
import { commonSettings } from './common.ts';
import { choice, integer, text } from './setting.ts';

export const upstreamSettings = {
  ...commonSettings,
  ...busSettings,
  handlers: text(
    'PUSHCLUSTER_UPSTREAM_HANDLERS',
    'Who handles which kinds of messages, a JSON list of {kinds, type, url?}; the first that fits does.',
    '[]',
  ),
  database: text(
    'PUSHCLUSTER_UPSTREAM_DATABASE',
    'Where the handler database stores: postgres://user:password@host/name or sqlite:/path/to/file; empty: it may not be named.',
    '',
  ),
  attemptsMax: integer('PUSHCLUSTER_UPSTREAM_ATTEMPTS_MAX', 'Failures of one message before it is a dead letter.', {
    fallback: 5,
    min: 1,
    max: 1000,
  }),
  backoffMs: integer(
    'PUSHCLUSTER_UPSTREAM_BACKOFF_MS',
    'Wait before the second try, doubled each time up to 30 s: five tries take 3 s.',
    { fallback: 200, min: 1, max: 60_000 },
  ),
  holdMs: integer(
    'PUSHCLUSTER_UPSTREAM_HOLD_MS',
    'A message whose handler cannot be reached waits this long, and those behind it in its partition, before it is a dead letter.',
    { fallback: 600_000, min: 0, max: 86_400_000 },
  ),
  concurrencyMax: integer(
    'PUSHCLUSTER_UPSTREAM_CONCURRENCY_MAX',
    'Calls of one handler under way that take a message each (webhook, echo, group-chat).',
    { fallback: 64, min: 1, max: 10_000 },
  ),
  handlerTimeoutMs: integer('PUSHCLUSTER_UPSTREAM_TIMEOUT_MS', 'A call of a handler that takes longer has failed.', {
    fallback: 5000,
    min: 50,
    max: 300_000,
  }),
  memoryBytesMax: integer(
    'PUSHCLUSTER_UPSTREAM_MEMORY_BYTES_MAX',
    'Resident memory above which nothing new is taken, until it is a tenth below.',
    { fallback: 402_653_184, min: 1_048_576, max: 68_719_476_736 },
  ),
  webhookPrivate: choice(
    'PUSHCLUSTER_WEBHOOK_PRIVATE',
    'true: webhooks may go to private, loopback and link-local addresses.',
    { values: ['true', 'false'], fallback: 'false' },
  ),
  stopDelayMs: integer('PUSHCLUSTER_STOP_DELAY_MS', 'After SIGTERM it goes on this long.', {
    fallback: 0,
    min: 0,
    max: 60_000,
  }),
} as const;
