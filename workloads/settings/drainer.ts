// Settings of a drainer.
import { commonSettings } from './common.ts';
import { integer, text } from './setting.ts';

export const drainerSettings = {
  ...commonSettings,
  name: text('PUSHCLUSTER_DRAINER_NAME', "The drainer's name: its pod's."),
  entriesPerSecond: integer(
    'PUSHCLUSTER_DRAINER_ENTRIES_PER_SECOND',
    'Entries of backlogs read from the store a second, by all drainers together.',
    { fallback: 20_000, min: 100, max: 1_000_000 },
  ),
  bytesPerSecond: integer(
    'PUSHCLUSTER_DRAINER_BYTES_PER_SECOND',
    'Bytes of them, by all drainers together; 20,000 messages of 1.6 KB.',
    { fallback: 33_554_432, min: 65_536, max: 10_737_418_240 },
  ),
  requestsMax: integer(
    'PUSHCLUSTER_DRAINER_REQUESTS_MAX',
    'Pages that may wait in one drainer, about 300 bytes each; more are told when to come back.',
    { fallback: 20_000, min: 1, max: 1_000_000 },
  ),
  waitMaxMs: integer(
    'PUSHCLUSTER_DRAINER_WAIT_MAX_MS',
    'A page that would wait longer is told when to come back; below the 10 s for which gateways wait.',
    { fallback: 5000, min: 100, max: 9000 },
  ),
  leaseMs: integer(
    'PUSHCLUSTER_LEASE_MS',
    'Its lease runs out this long after its last renewal; renewed at a third of it.',
    { fallback: 6000, min: 300, max: 120_000 },
  ),
  leasePollMs: integer('PUSHCLUSTER_LEASE_POLL_MS', 'Live gateways are read from the store this often.', {
    fallback: 500,
    min: 50,
    max: 60_000,
  }),
} as const;
