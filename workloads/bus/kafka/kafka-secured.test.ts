// The bus on a Kafka that wants TLS and a user, as a hosted one does.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { busSettings } from '../../settings/bus.ts';
import { parseSettings } from '../../settings/setting.ts';
import { aCollector, aRecord, valueOf } from '../contract.ts';
import { openBusOf } from '../open.ts';
import { BusUnavailableError } from '../port.ts';
import type { Bus } from '../port.ts';
import { TestBroker } from './test-broker.ts';

const skip = missingPart('kafka', 'java', 'openssl') ?? false;
const USER = { name: 'push', password: 'a-secret' };

/** A key and a certificate for 127.0.0.1 that signs itself, PEM in one file. */
function makeCertificate(dir: string): { pem: string; ca: string } {
  const [key, ca] = [join(dir, 'key.pem'), join(dir, 'ca.pem')];
  const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=kafka'];
  words.push('-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', ca);
  const made = spawnSync(findPart('openssl')!, words, { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  const pem = join(dir, 'broker.pem');
  writeFileSync(pem, readFileSync(key, 'utf8') + readFileSync(ca, 'utf8'));
  return { pem, ca };
}

describe('the bus on a Kafka with TLS and SCRAM', { skip }, () => {
  let dir: string;
  let ca: string;
  let broker: TestBroker;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'pushcluster-tls-'));
    const certificate = makeCertificate(dir);
    ca = certificate.ca;
    const login = `org.apache.kafka.common.security.scram.ScramLoginModule required username="${USER.name}" password="${USER.password}";`;
    broker = await TestBroker.start({
      program: findPart('kafka')!,
      user: USER,
      properties: [
        'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:SASL_SSL',
        'inter.broker.listener.name=PLAINTEXT',
        'sasl.enabled.mechanisms=SCRAM-SHA-512',
        'sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512',
        `listener.name.plaintext.scram-sha-512.sasl.jaas.config=${login}`,
        'ssl.keystore.type=PEM',
        `ssl.keystore.location=${certificate.pem}`,
        'ssl.truststore.type=PEM',
        `ssl.truststore.location=${certificate.ca}`,
      ],
    });
  });
  after(async () => {
    await broker?.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  async function open(over: Readonly<Record<string, string>> = {}): Promise<Bus> {
    const env = {
      PUSHCLUSTER_BUS: broker.url,
      PUSHCLUSTER_BUS_TLS: 'true',
      PUSHCLUSTER_BUS_CA_FILE: ca,
      PUSHCLUSTER_BUS_USERNAME: USER.name,
      PUSHCLUSTER_BUS_PASSWORD: USER.password,
      PUSHCLUSTER_BUS_PARTITIONS: '2',
      PUSHCLUSTER_BUS_REPLICATION: '1',
      PUSHCLUSTER_BUS_TIMEOUT_MS: '20000',
      ...over,
    };
    const settings = parseSettings(busSettings, env, (path) => readFileSync(path, 'utf8'));
    return (await openBusOf(settings, { clock: systemClock, log: silentLog, random: Math.random }))!;
  }

  test('publishes and consumes as that user', async () => {
    const bus = await open();
    await bus.publish([aRecord('k', 'hello')]);
    const to = aCollector();
    await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
    await to.until(1);
    assert.deepEqual(to.got.map(valueOf), ['hello']);
    await bus.close();
  });

  for (const [what, over, problem] of [
    ['a wrong password', { PUSHCLUSTER_BUS_PASSWORD: 'another' }, /SASL|credentials|[Aa]uthentication/],
    ['a certificate that nobody signed', { PUSHCLUSTER_BUS_CA_FILE: '' }, /certificate/],
  ] as const)
    test(`${what}: it is said in health, without the password`, async () => {
      const bus = await open({ PUSHCLUSTER_BUS_TIMEOUT_MS: '2000', ...over });
      await assert.rejects(bus.publish([aRecord('k', 'never')]), BusUnavailableError);
      const { reachable, problem: said } = bus.health();
      assert.equal(reachable, false);
      assert.match(said ?? '', problem);
      assert.ok(!said?.includes('another'));
      await bus.close();
    });
});
