// Settings of a router.
import { busSettings } from './bus.ts';
import { commonSettings } from './common.ts';
import { configSettings } from './config-source.ts';
import { choice, integer, text } from './setting.ts';

export const routerSettings = {
  ...commonSettings,
  ...busSettings,
  ...configSettings,
  httpPort: integer('PUSHCLUSTER_HTTP_PORT', 'Port of the push API; 0 picks one.', {
    fallback: 8081,
    min: 0,
    max: 65_535,
  }),
  tcpPort: integer('PUSHCLUSTER_TCP_PORT', 'Port of the same commands over TCP, pipelined; 0 picks one.', {
    fallback: 8083,
    min: 0,
    max: 65_535,
  }),
  linkHost: text(
    'PUSHCLUSTER_LINK_HOST',
    'Host or address other routers reach its link port at: the pod IP; empty: it stays alone, and nobody else may be there.',
    '',
  ),
  linkPort: integer('PUSHCLUSTER_LINK_PORT', 'Port for links from other routers; 0 picks one.', {
    fallback: 7070,
    min: 0,
    max: 65_535,
  }),
  webhookPrivate: choice(
    'PUSHCLUSTER_WEBHOOK_PRIVATE',
    'true: webhooks may go to private, loopback and link-local addresses.',
    { values: ['true', 'false'], fallback: 'false' },
  ),
  routeCacheMs: integer(
    'PUSHCLUSTER_ROUTE_CACHE_MS',
    'A cached route is used this long before the store is asked again; a gateway that has not the device says so and ends it before.',
    { fallback: 60_000, min: 0, max: 600_000 },
  ),
  routeCacheRowsMax: integer('PUSHCLUSTER_ROUTE_CACHE_ROWS_MAX', 'Routes cached at most, about 200 bytes each.', {
    fallback: 100_000,
    min: 0,
    max: 10_000_000,
  }),
  leasePollMs: integer('PUSHCLUSTER_LEASE_POLL_MS', 'Live gateways are read from the store this often.', {
    fallback: 500,
    min: 50,
    max: 60_000,
  }),
  intakeMemoryBytesMax: integer(
    'PUSHCLUSTER_INTAKE_MEMORY_BYTES_MAX',
    'Resident memory above which live messages are refused, and durable ones a tenth above; 0: 80 % of what the container may use.',
    { fallback: 0, min: 0, max: 1_099_511_627_776 },
  ),
  intakeBytesPerSecond: integer(
    'PUSHCLUSTER_INTAKE_BYTES_PER_SECOND',
    'Bandwidth of its links and pushes: at 80 % live messages are refused, at 95 % durable ones; 0: no bound.',
    { fallback: 0, min: 0, max: 1_099_511_627_776 },
  ),
  requestsInFlightMax: integer('PUSHCLUSTER_REQUESTS_IN_FLIGHT_MAX', 'Requests under way before new ones get 503.', {
    fallback: 10_000,
    min: 1,
    max: 1_000_000,
  }),
} as const;
