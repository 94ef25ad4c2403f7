// Settings of the bus, for every role that has a use for one: gateway, router, upstream.
import { choice, integer, text } from './setting.ts';

export const busSettings = {
  bus: text(
    'PUSHCLUSTER_BUS',
    'The bus: none, kafka://host:port,host:port, or in-process:NAME (embedded only).',
    'none',
  ),
  busPrefix: text('PUSHCLUSTER_BUS_PREFIX', 'Stands before the names of its topics and groups.', ''),
  busPartitions: integer(
    'PUSHCLUSTER_BUS_PARTITIONS',
    'Partitions of topics that are made; more consumers share more.',
    {
      fallback: 12,
      min: 1,
      max: 1000,
    },
  ),
  busReplication: integer(
    'PUSHCLUSTER_BUS_REPLICATION',
    'Replicas of topics that are made, at most one for each broker; half of them must have what counts as kept. 0: as the brokers are set.',
    { fallback: 3, min: 0, max: 9 },
  ),
  busTimeoutMs: integer(
    'PUSHCLUSTER_BUS_TIMEOUT_MS',
    'A publish that takes longer has failed, outcome unknown: more than brokers take to lead what a dead one led (9 to 12 s).',
    { fallback: 15_000, min: 500, max: 120_000 },
  ),
  busTls: choice('PUSHCLUSTER_BUS_TLS', 'true: TLS to the brokers.', { values: ['true', 'false'], fallback: 'false' }),
  busCa: text('PUSHCLUSTER_BUS_CA', 'Certificates that sign the brokers’, PEM; empty: the public ones.', ''),
  busUsername: text('PUSHCLUSTER_BUS_USERNAME', 'User of the brokers; empty: none.', ''),
  busPassword: text('PUSHCLUSTER_BUS_PASSWORD', 'Password of the user.', ''),
  busMechanism: choice('PUSHCLUSTER_BUS_MECHANISM', 'How the user is shown (SASL).', {
    values: ['plain', 'scram-sha-256', 'scram-sha-512'],
    fallback: 'scram-sha-512',
  }),
} as const;
