// Opens the bus that a setting names; the mains of gateway, router and upstream call it once. kafkajs costs 17 MB of memory, so it is
// loaded only where there is a Kafka. A bus within the process is handed over
// by whoever holds it (the embedded process), never opened here.
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { busSettings } from '../settings/bus.ts';
import type { SettingsOf } from '../settings/setting.ts';
import { parseBrokers } from './kafka/address.ts';
import type { Bus } from './port.ts';

/** The address of the bus is not of a known form. */
export class BusAddressError extends Error {
  readonly code = 'bus-address';
}

export interface BusSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
}

/**
 * The bus of a role's settings; null: none is configured. A Kafka that does not answer yet is no error: operations reject until it
 * does, and health() says so. Rejects with BusAddressError.
 */
export async function openBusOf(
  settings: SettingsOf<typeof busSettings>,
  surroundings: BusSurroundings,
): Promise<Bus | null> {
  const { bus } = settings;
  if (bus === 'none' || bus === '') return null;
  const brokers = parseBrokers(bus);
  if (brokers === null)
    throw new BusAddressError(
      `bus: expected none or kafka://host:port,host:port, got ${JSON.stringify(bus.slice(0, 60))}`,
    );
  const { openKafkaBus } = await import('./kafka/kafka-bus.ts');
  return openKafkaBus({
    ...surroundings,
    brokers,
    prefix: settings.busPrefix,
    partitions: settings.busPartitions,
    replication: settings.busReplication,
    publishTimeoutMs: settings.busTimeoutMs,
    tls: settings.busTls === 'true' ? { ca: settings.busCa === '' ? null : settings.busCa } : null,
    sasl:
      settings.busUsername === ''
        ? null
        : { mechanism: settings.busMechanism, username: settings.busUsername, password: settings.busPassword },
  });
}
