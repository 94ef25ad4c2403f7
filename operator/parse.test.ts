import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aPushApp, aPushCluster } from './fixtures.ts';
import { parseDurationMs } from './field-reader.ts';
import { clusterOfApp, parseApp } from './parse-app.ts';
import { parseCluster } from './parse.ts';
import type { StoreSpec } from './spec.ts';

function problemsOf(spec: Readonly<Record<string, unknown>>, metadata: object = {}): readonly string[] {
  const parsed = parseCluster(aPushCluster(spec, metadata));
  return parsed.kind === 'refused' ? parsed.problems : [];
}

describe('parseCluster', () => {
  it('fills in every default of a spec with an image only', () => {
    const parsed = parseCluster(aPushCluster());
    assert.equal(parsed.kind, 'valid');
    const { spec } = parsed.value;
    assert.equal(spec.gateway.replicas, 2);
    assert.equal(spec.gateway.connectionsPerGateway, 18_000);
    assert.equal(spec.gateway.exposure.type, 'ClusterIP');
    assert.equal(spec.routing.strategy, 'least-loaded');
    assert.equal(spec.routing.auto, true);
    assert.equal(spec.store, null);
    assert.equal(spec.evaluationRedis.image, 'redis:7');
    assert.deepEqual(spec.disruption, { reconnectsPerSecond: 500, drainDeadlineMs: 600_000, maxUnavailable: 1 });
    assert.equal(spec.autoscaling, null);
    assert.equal(spec.auth.tokenTtlMs, 3_600_000);
  });

  it('tunes weights with strategy least-loaded only, unless it is told', () => {
    const autoOf = (routing: object): boolean | null => {
      const parsed = parseCluster(aPushCluster({ routing }));
      return parsed.kind === 'valid' ? parsed.value.spec.routing.auto : null;
    };
    assert.equal(autoOf({ strategy: 'weighted' }), false);
    assert.equal(autoOf({ strategy: 'weighted', auto: { enabled: true } }), true);
    assert.equal(autoOf({ strategy: 'least-loaded', auto: { enabled: false } }), false);
  });

  const refused: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    [
      'replicas below 0',
      { gateway: { replicas: -1 } },
      /^spec\.gateway\.replicas: expected a whole number from 0 to 1000, got -1$/,
    ],
    ['replicas past the most', { gateway: { replicas: 1001 } }, /spec\.gateway\.replicas/],
    ['replicas that are no number', { gateway: { replicas: 'many' } }, /got "many"$/],
    ['an unknown strategy', { routing: { strategy: 'random' } }, /one of round-robin, hash-mod/],
    ['a weight past 1000', { routing: { weights: { 'demo-gateway-0': 1001 } } }, /weights\.demo-gateway-0/],
    ['an unknown transport', { gateway: { transports: ['carrier-pigeon'] } }, /transports\[0\]: expected websocket/],
    [
      'a deadline past the most',
      { disruption: { drainDeadline: '25h' } },
      /from 1s to 24h, like 90s or 1h30m, got "25h"$/,
    ],
    ['a duration without a unit', { disruption: { drainDeadline: '90' } }, /drainDeadline/],
    [
      'a budget of 0',
      { disruption: { reconnectsPerSecond: 0 } },
      /reconnectsPerSecond: expected a whole number from 1/,
    ],
    ['maxUnavailable of 0', { disruption: { maxUnavailable: 0 } }, /maxUnavailable/],
    [
      'minReplicas above maxReplicas',
      { autoscaling: { minReplicas: 5, maxReplicas: 4 } },
      /minReplicas: expected at most maxReplicas \(4\), got 5/,
    ],
    ['a store without address', { store: { redis: { addresses: [] } } }, /addresses: expected at least one/],
    ['a store without redis', { store: {} }, /store\.redis\.addresses/],
    ['an address without a port', { store: { redis: { addresses: ['redis'] } } }, /addresses\[0\]: expected host:port/],
    [
      'two addresses of a single Redis',
      { store: { redis: { addresses: ['a:1', 'b:2'] } } },
      /set mode to sentinel or cluster/,
    ],
    [
      'Sentinels without a master',
      { store: { redis: { mode: 'sentinel', addresses: ['a:1'] } } },
      /masterName: is required/,
    ],
    [
      'a secretRef without a name',
      { store: { redis: { addresses: ['a:1'], secretRef: {} } } },
      /secretRef\.name: is required/,
    ],
    [
      'a user of the store without a password',
      { store: { redis: { addresses: ['a:1'], username: 'push' } } },
      /^spec\.store\.redis\.secretRef: is required with username$/,
    ],
    [
      'a user name with a space',
      { store: { redis: { addresses: ['a:1'], username: 'a b', secretRef: { name: 's' } } } },
      /username: expected a user name/,
    ],
    ...(['caSecretRef', 'clientSecretRef', 'serverName'] as const).map(
      (field) =>
        [
          `${field} of a store without TLS`,
          { store: { redis: { addresses: ['a:1'], [field]: field === 'serverName' ? 'redis' : { name: 's' } } } },
          new RegExp(`^spec\\.store\\.redis\\.${field}: expected tls: true beside it`),
        ] as const,
    ),
    [
      'a caSecretRef without a name',
      { store: { redis: { addresses: ['a:1'], tls: true, caSecretRef: { key: 'k' } } } },
      /caSecretRef\.name: is required/,
    ],
    [
      'a clientSecretRef without a name',
      { store: { redis: { addresses: ['a:1'], tls: true, clientSecretRef: {} } } },
      /clientSecretRef\.name: is required/,
    ],
    [
      'a serverName with a port',
      { store: { redis: { addresses: ['a:1'], tls: true, serverName: 'redis:6379' } } },
      /serverName: expected a host name/,
    ],
    ['tls of a store that is no flag', { store: { redis: { addresses: ['a:1'], tls: 'yes' } } }, /tls: expected true/],
    ['one address for all gateways', { gateway: { exposure: { addressTemplate: 'wss://push/' } } }, /use \{name\}/],
    ['an address of another kind', { gateway: { exposure: { addressTemplate: 'ftp://{name}/' } } }, /a URL like/],
    [
      'a podTemplate past 64 KiB',
      { router: { podTemplate: { a: 'x'.repeat(65_530) } } },
      /podTemplate: expected at most 65536/,
    ],
    ['a list in place of an object', { gateway: [] }, /^spec\.gateway: expected an object, got \[\]$/],
    ['no image', { image: undefined }, /image: is required/],
  ];
  for (const [what, spec, expected] of refused) {
    it(`refuses ${what} by the field's name`, () => {
      const problems = problemsOf(spec);
      assert.ok(
        problems.some((problem) => expected.test(problem)),
        problems.join('; '),
      );
    });
  }

  const taken: readonly (readonly [string, Record<string, unknown>])[] = [
    ['replicas of 0', { gateway: { replicas: 0 } }],
    ['replicas of 1000', { gateway: { replicas: 1000 } }],
    ['a deadline of 24h', { disruption: { drainDeadline: '24h' } }],
    ['a podTemplate of 64 KiB', { router: { podTemplate: { a: 'x'.repeat(65_528) } } }],
    ['Sentinels', { store: { redis: { mode: 'sentinel', addresses: ['a:1', 'b:2'], masterName: 'm' } } }],
  ];
  it('reads who we are at the store and whom we trust; without TLS nothing of it', () => {
    const storeOf = (redis: object): StoreSpec | null => {
      const parsed = parseCluster(aPushCluster({ store: { redis: { addresses: ['a:1'], ...redis } } }));
      return parsed.kind === 'valid' ? parsed.value.spec.store : null;
    };
    const plain = { mode: 'single', addresses: ['a:1'], masterName: null, username: null, secretRef: null, tls: false };
    const none = { caSecretRef: null, clientSecretRef: null, serverName: null };
    assert.deepEqual(storeOf({}), { ...plain, ...none });
    assert.deepEqual(
      storeOf({
        username: 'push',
        secretRef: { name: 'redis' },
        tls: true,
        caSecretRef: { name: 'redis-ca' },
        clientSecretRef: { name: 'redis-client' },
        serverName: 'redis.example',
      }),
      {
        ...plain,
        username: 'push',
        secretRef: { name: 'redis', key: 'password' },
        tls: true,
        caSecretRef: { name: 'redis-ca', key: 'ca.crt' },
        clientSecretRef: { name: 'redis-client' },
        serverName: 'redis.example',
      },
    );
  });

  for (const [what, spec] of taken) it(`takes ${what}`, () => assert.deepEqual(problemsOf(spec), []));

  it('names every problem at once', () => {
    assert.equal(problemsOf({ gateway: { replicas: -1 }, disruption: { maxUnavailable: 0 } }).length, 2);
  });

  it('refuses a name of 41 characters, or one that starts with a digit, and takes one of 40', () => {
    assert.match(problemsOf({}, { name: 'a'.repeat(41) }).join(), /at most 40/);
    assert.match(problemsOf({}, { name: '1a' }).join(), /starting with a letter/);
    assert.deepEqual(problemsOf({}, { name: 'a'.repeat(40) }), []);
  });

  it('never refuses one that is being deleted', () => {
    const object = aPushCluster({ gateway: { replicas: -1 } }, { deletionTimestamp: '2026-01-01T00:00:00Z' });
    const parsed = parseCluster(object);
    assert.equal(parsed.kind, 'valid');
    assert.equal(parsed.value.spec.gateway.replicas, 2);
    assert.equal(parsed.value.deletedAtMs, Date.parse('2026-01-01T00:00:00Z'));
  });
});

describe('parseDurationMs', () => {
  const cases: readonly (readonly [string, number | null])[] = [
    ['500ms', 500],
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['0s', 0],
    ['', null],
    ['5', null],
    ['-5s', null],
    ['5 s', null],
    ['1d', null],
  ];
  for (const [text, ms] of cases) it(`${JSON.stringify(text)} is ${ms}`, () => assert.equal(parseDurationMs(text), ms));
});

describe('parseApp', () => {
  const sha256 = 'a'.repeat(64);
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: 'abc' };

  it('takes a whole app, durations in ms', () => {
    const parsed = parseApp(
      aPushApp({
        publicKeys: [jwk],
        apiKeys: [{ name: 'one', sha256 }],
        authWebhook: { url: 'https://shop/auth', timeout: '3s' },
        allowedTopics: ['news', 'orders.*', '*'],
        quotas: { messagesPerSecond: 10, devicesPerAccount: 3 },
        delivery: { ttl: '24h' },
      }),
    );
    assert.deepEqual(parsed, {
      kind: 'valid',
      value: {
        name: 'shop',
        publicKeys: [jwk],
        apiKeys: [{ name: 'one', sha256 }],
        authWebhook: { url: 'https://shop/auth', timeoutMs: 3000 },
        allowedTopics: ['news', 'orders.*', '*'],
        quotas: { messagesPerSecond: 10, devicesPerAccount: 3 },
        delivery: { ttlMs: 86_400_000 },
      },
    });
  });

  const refused: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    ['a private key', { publicKeys: [{ ...jwk, d: 'secret' }] }, /publicKeys\[0\]: holds the private part \(d\)/],
    ['a key of another type', { publicKeys: [{ kty: 'EC', crv: 'P-521' }] }, /publicKeys\[0\]: expected an Ed25519/],
    ['a key in place of its hash', { apiKeys: [{ name: 'a', sha256: 'my-key' }] }, /apiKeys\[0\]\.sha256/],
    ['an API key without a name', { apiKeys: [{ sha256 }] }, /apiKeys\[0\]\.name: is required/],
    ['a topic pattern with a star within', { allowedTopics: ['a*b'] }, /allowedTopics\[0\]/],
    ['33 topic patterns', { allowedTopics: Array.from({ length: 33 }, (_, i) => `t${i}`) }, /at most 32/],
    ['65 devices for each account', { quotas: { devicesPerAccount: 65 } }, /from 1 to 64/],
    ['a webhook without URL', { authWebhook: {} }, /authWebhook\.url: is required/],
    ['a ttl past 30 days', { delivery: { ttl: '721h' } }, /delivery\.ttl/],
  ];
  for (const [what, spec, expected] of refused) {
    it(`refuses ${what}`, () => {
      const parsed = parseApp(aPushApp(spec));
      assert.equal(parsed.kind, 'refused');
      assert.match(parsed.problems.join('; '), expected);
      assert.doesNotMatch(parsed.problems.join('; '), /secret/, 'the key itself is never quoted');
    });
  }

  it('refuses a name that is no DNS label', () => {
    assert.equal(parseApp(aPushApp({}, 'shop.one')).kind, 'refused');
  });

  it('tells the cluster it belongs to; null where it names none', () => {
    assert.equal(clusterOfApp(aPushApp()), 'demo');
    assert.equal(clusterOfApp(aPushApp({ clusterRef: undefined })), null);
  });
});
