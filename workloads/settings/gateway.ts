// Settings of a gateway. Times carry their arithmetic.
import { busSettings } from './bus.ts';
import { commonSettings } from './common.ts';
import { choice, integer, text } from './setting.ts';

export const gatewaySettings = {
  ...commonSettings,
  ...busSettings,
  name: text('PUSHCLUSTER_GATEWAY_NAME', "The gateway's stable name: its pod's name."),
  linkHost: text('PUSHCLUSTER_LINK_HOST', 'Host or address other roles reach its link port at: the pod IP.'),
  clientPort: integer('PUSHCLUSTER_CLIENT_PORT', 'Port for clients (WebSocket); 0 picks one.', {
    fallback: 8080,
    min: 0,
    max: 65_535,
  }),
  linkPort: integer('PUSHCLUSTER_LINK_PORT', 'Port for links; 0 picks one.', { fallback: 7070, min: 0, max: 65_535 }),
  connectionsMax: integer(
    'PUSHCLUSTER_CONNECTIONS_MAX',
    'Connections it is sized for; more are refused with retry-after.',
    { fallback: 18_000, min: 1, max: 1_000_000 },
  ),
  acceptsPerSecond: integer('PUSHCLUSTER_ACCEPTS_PER_SECOND', 'New sessions a second once warm; resumers go first.', {
    fallback: 2000,
    min: 1,
    max: 100_000,
  }),
  acceptRampMs: integer(
    'PUSHCLUSTER_ACCEPT_RAMP_MS',
    'After start the accept rate rises from a tenth to full over this time.',
    { fallback: 5000, min: 0, max: 600_000 },
  ),
  helloTimeoutMs: integer(
    'PUSHCLUSTER_HELLO_TIMEOUT_MS',
    'A connection without upgrade, and then one without hello, is closed after this.',
    {
      fallback: 10_000,
      min: 100,
      max: 120_000,
    },
  ),
  heartbeatIntervalMs: integer(
    'PUSHCLUSTER_HEARTBEAT_INTERVAL_MS',
    'Clients ping this often: below the 30–60 s after which NATs forget a connection.',
    { fallback: 25_000, min: 200, max: 3_600_000 },
  ),
  heartbeatsMissedMax: integer(
    'PUSHCLUSTER_HEARTBEATS_MISSED_MAX',
    'Silent intervals after which a connection is closed.',
    { fallback: 3, min: 1, max: 20 },
  ),
  positionCheckMs: integer(
    'PUSHCLUSTER_POSITION_CHECK_MS',
    'Heads of active streams are compared with the store this often (R1).',
    { fallback: 25_000, min: 100, max: 3_600_000 },
  ),
  ackTimeoutMs: integer(
    'PUSHCLUSTER_ACK_TIMEOUT_MS',
    'A durable delivery not acked after this is written again to the same connection.',
    { fallback: 10_000, min: 100, max: 600_000 },
  ),
  leaseMs: integer(
    'PUSHCLUSTER_LEASE_MS',
    'Its lease runs out this long after its last renewal; renewed at a third of it.',
    { fallback: 6000, min: 300, max: 120_000 },
  ),
  ticketTtlMs: integer('PUSHCLUSTER_TICKET_TTL_MS', 'Tickets are good for this long.', {
    fallback: 900_000,
    min: 1000,
    max: 86_400_000,
  }),
  cursorFlushMs: integer(
    'PUSHCLUSTER_CURSOR_FLUSH_MS',
    'Topic cursors reach the store this often at most, and acks of device lanes after this time at the latest (R5).',
    { fallback: 5000, min: 50, max: 600_000 },
  ),
  settlesPerSecond: integer(
    'PUSHCLUSTER_SETTLES_PER_SECOND',
    'Acks of this many device lanes a second reach the store at once; others wait, so that one write stands for several acks.',
    { fallback: 400, min: 0, max: 1_000_000 },
  ),
  outboxBytesMax: integer(
    'PUSHCLUSTER_OUTBOX_BYTES_MAX',
    'Bytes waiting for one connection before it counts as slow.',
    { fallback: 1_048_576, min: 4096, max: 67_108_864 },
  ),
  windowMessagesMax: integer(
    'PUSHCLUSTER_WINDOW_MESSAGES_MAX',
    'Durable deliveries of one stream under way to one connection before its acks are waited for.',
    { fallback: 256, min: 1, max: 10_000 },
  ),
  lagMsMax: integer(
    'PUSHCLUSTER_LAG_MS_MAX',
    'Mean delay of the event loop at which load is shed (live messages of low levels first); 0: never for that.',
    { fallback: 500, min: 0, max: 60_000 },
  ),
  outboxTotalBytesMax: integer(
    'PUSHCLUSTER_OUTBOX_TOTAL_BYTES_MAX',
    'Bytes waiting for all clients together at which load is shed; 0: never for that.',
    { fallback: 268_435_456, min: 0, max: 68_719_476_736 },
  ),
  memoryBytesMax: integer(
    'PUSHCLUSTER_MEMORY_BYTES_MAX',
    'Resident memory at which intake pauses and load is shed: below the limit of the container; 0: none.',
    { fallback: 0, min: 0, max: 1_099_511_627_776 },
  ),
  bandwidthBytesPerSecond: integer(
    'PUSHCLUSTER_BANDWIDTH_BYTES_PER_SECOND',
    'Bytes to clients a second at which load is shed; intake pauses at 80 % of it; 0: none.',
    { fallback: 0, min: 0, max: 1_099_511_627_776 },
  ),
  failOpen: choice(
    'PUSHCLUSTER_FAIL_OPEN',
    'Clients are let in by the signature of ticket or token while the store is away (R13); no: they are closed with 4003.',
    { values: ['yes', 'no'], fallback: 'yes' },
  ),
  backlogThreshold: integer(
    'PUSHCLUSTER_BACKLOG_THRESHOLD',
    'A device that comes back to more waiting messages than this is fed by the drainer, lane by lane.',
    { fallback: 50, min: 0, max: 1_000_000 },
  ),
  backlogEntriesPerSecond: integer(
    'PUSHCLUSTER_BACKLOG_ENTRIES_PER_SECOND',
    'Messages of backlogs that a gateway reads by itself a second while no drainer is linked.',
    { fallback: 2000, min: 1, max: 1_000_000 },
  ),
  recoveryReadsPerSecond: integer(
    'PUSHCLUSTER_RECOVERY_READS_PER_SECOND',
    'Streams of returning sessions that are read at once; beyond it they are fed however little they missed.',
    { fallback: 500, min: 1, max: 1_000_000 },
  ),
  returnLateMsMax: integer(
    'PUSHCLUSTER_RETURN_LATE_MS_MAX',
    'While the event loop is later than this, sessions open and backlogs are fed more slowly, at the least at a twentieth of their rates, so that live messages are not late; 0: never more slowly.',
    { fallback: 20, min: 0, max: 10_000 },
  ),
  upstreamBufferDir: text(
    'PUSHCLUSTER_UPSTREAM_BUFFER_DIR',
    'Folder for messages of clients while the bus is away; empty: they are refused then.',
    '',
  ),
  upstreamBufferBytesMax: integer(
    'PUSHCLUSTER_UPSTREAM_BUFFER_BYTES_MAX',
    'Bytes kept there: 64 MiB are 200,000 messages of 300 bytes.',
    { fallback: 67_108_864, min: 65_536, max: 68_719_476_736 },
  ),
  stopGraceMs: integer(
    'PUSHCLUSTER_STOP_GRACE_MS',
    'After SIGTERM clients have this long to move; keep it below the pod’s termination grace.',
    { fallback: 20_000, min: 0, max: 3_600_000 },
  ),
  stopRatePerSecond: integer(
    'PUSHCLUSTER_STOP_RATE_PER_SECOND',
    'After SIGTERM without a drain, connections asked to leave per second at the least.',
    { fallback: 500, min: 1, max: 1_000_000 },
  ),
} as const;
