import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { busSettings } from '../settings/bus.ts';
import { parseSettings } from '../settings/setting.ts';
import { parseBrokers } from './kafka/address.ts';
import { BusAddressError, openBusOf } from './open.ts';

const surroundings = { clock: systemClock, log: silentLog, random: () => 0 };
const settingsOf = (env: Readonly<Record<string, string>>) => parseSettings(busSettings, env, () => '');

test('no bus is configured unless one is named', async () => {
  assert.equal(await openBusOf(settingsOf({}), surroundings), null);
});

test('an address of another form is refused by name', async () => {
  for (const bus of ['kafka://', 'kafka://host', 'kafka://host:0', 'kafka://a:1,b', 'amqp://a:1'])
    await assert.rejects(openBusOf(settingsOf({ PUSHCLUSTER_BUS: bus }), surroundings), BusAddressError, bus);
});

test('a Kafka that does not answer is no error at start: health says so', async () => {
  const bus = await openBusOf(settingsOf({ PUSHCLUSTER_BUS: 'kafka://127.0.0.1:1' }), surroundings);
  assert.equal(bus?.health().reachable, false);
  await bus?.close();
});

test('brokers are hosts with ports, one or many', () => {
  assert.deepEqual(parseBrokers('kafka://k-0.k:9092,10.0.0.1:9093,[::1]:9094'), [
    'k-0.k:9092',
    '10.0.0.1:9093',
    '[::1]:9094',
  ]);
});
