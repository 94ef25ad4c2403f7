import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CLOSE } from '../protocol/codes.ts';
import { backoffMs, nextRandom } from './backoff.ts';
import { wakeAtMs } from './connection.ts';
import { ANSWER, Driver, RETRY, T0, aLiveOne, types } from './connection-driver.ts';
import { CONNECTION_DEFAULTS } from './connection-state.ts';
import type { ConnectionEvent } from './connection-state.ts';
import { verdictOf } from './verdict.ts';

describe('the way to a connection', () => {
  test('registers, connects to the first gateway, says hello by token, serves', () => {
    const d = new Driver();
    assert.deepEqual(d.do({ type: 'start' }), [{ type: 'ask', ask: 'register', token: null, exclude: [] }]);
    assert.deepEqual(d.do(ANSWER), [{ type: 'open', conn: 1, url: 'ws://gw-0' }]);
    assert.deepEqual(d.do({ type: 'opened', conn: 1 }), [{ type: 'hello', conn: 1, credential: { token: 'token-1' } }]);
    assert.deepEqual(d.welcome().at(-1), { type: 'serve', conn: 1 });
    assert.equal(d.state.serving?.gateway, 'gw-0');
  });

  test('gives up a socket that does not open in time, and tries the other gateway', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do(ANSWER);
    assert.equal(types(d.wake()), 'close');
    assert.equal(d.nowMs - T0, CONNECTION_DEFAULTS.openTimeoutMs);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 2, url: 'ws://gw-1' }]);
  });

  test('gives up a hello that has no welcome in time, counted from the hello, and tries the other gateway', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do(ANSWER);
    d.do({ type: 'opened', conn: 1 });
    assert.equal(types(d.wake()), 'close');
    assert.equal(d.nowMs - T0, CONNECTION_DEFAULTS.connectTimeoutMs);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 2, url: 'ws://gw-1' }]);
  });

  test('is more patient with each failed attempt, up to three times the timeout', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do(ANSWER);
    const waited = [1, 2, 3, 4].map(() => {
      const begunAtMs = d.nowMs;
      d.do({ type: 'opened', conn: d.state.attempt!.conn });
      d.wake();
      const tookMs = d.nowMs - begunAtMs;
      d.wake();
      return tookMs / CONNECTION_DEFAULTS.connectTimeoutMs;
    });
    assert.deepEqual(waited, [1, 2, 3, 3]);
  });

  test('waits for a socket to open at most twice as long, however often it failed', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do(ANSWER);
    const waited = [1, 2, 3, 4].map(() => {
      const begunAtMs = d.nowMs;
      d.wake();
      const tookMs = d.nowMs - begunAtMs;
      d.wake();
      return tookMs / CONNECTION_DEFAULTS.openTimeoutMs;
    });
    assert.deepEqual(waited, [1, 2, 2, 2]);
  });

  test('a registry that fails is asked again after the time it told, never sooner', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do({ type: 'registry-failed', verdict: 'again', retryAfterMs: 7000, reason: 'rate-limited' });
    const waited = wakeAtMs(d.state)! - T0;
    assert.ok(waited >= 7000 && waited <= 8750, String(waited));
    assert.equal(types(d.wake()), 'ask');
  });

  test('a registration that is refused for good ends it', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do({ type: 'registry-failed', verdict: 'never', retryAfterMs: null, reason: 'forbidden' });
    assert.deepEqual(d.state.closed, { kind: 'refused', reason: 'forbidden' });
    assert.equal(wakeAtMs(d.state), null);
  });

  test('no gateway in the answer: the registry is asked to assign one, after no attempt', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    assert.equal((d.do({ ...ANSWER, gateways: [] })[0] as { ask: string }).ask, 'assign');
  });
});

describe('losing a gateway', () => {
  test('resumes by ticket at a target without the registry, after less than the base wait', () => {
    const d = aLiveOne();
    d.close(1006);
    assert.ok(wakeAtMs(d.state)! - d.nowMs <= RETRY.baseMs);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 2, url: 'ws://gw-1' }]);
    assert.deepEqual(d.do({ type: 'opened', conn: 2 }), [
      { type: 'hello', conn: 2, credential: { ticket: 'ticket-1' } },
    ]);
  });

  test('goes to the gateways of the registry when the ticket names no target', () => {
    const d = aLiveOne();
    d.do({ type: 'heard', conn: 1, ticket: 'fresh', targets: [] });
    d.close(1006);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 2, url: 'ws://gw-1' }]);
  });

  test('uses the fresh ticket of a pong', () => {
    const d = aLiveOne();
    d.do({ type: 'heard', conn: 1, ticket: 'fresh', targets: ['ws://gw-9'] });
    d.close(1006);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 2, url: 'ws://gw-9' }]);
  });

  test(`asks the registry for another gateway after ${CONNECTION_DEFAULTS.strikesMax} failures, naming those that failed`, () => {
    const d = aLiveOne();
    d.do({ type: 'heard', conn: 1, ticket: 'fresh', targets: [] });
    d.close(1006);
    let effects = d.wake();
    for (let failures = 1; failures < CONNECTION_DEFAULTS.strikesMax; failures++) {
      assert.equal(types(effects), 'open', `after ${failures} failures`);
      d.close(1006);
      effects = d.wake();
    }
    assert.deepEqual(effects, [{ type: 'ask', ask: 'assign', token: 'token-1', exclude: ['gw-0', 'gw-1'] }]);
  });

  test('a registry that is away does not keep anyone from the gateways that are there', () => {
    const d = aLiveOne();
    for (let i = 0; i < CONNECTION_DEFAULTS.strikesMax; i++) {
      d.close(1006);
      d.wake();
    }
    assert.equal(d.state.asking, 'assign');
    d.do({ type: 'registry-failed', verdict: 'again', retryAfterMs: null, reason: 'ECONNREFUSED' });
    assert.equal(types(d.wake()), 'open');
  });

  test('a token that is about to run out is renewed before it is used, one that ran out needs a registration', () => {
    for (const [leftMs, ask] of [
      [10_000, 'renew'],
      [1, 'renew'],
      [0, 'register'],
      [-1, 'register'],
    ] as const) {
      const d = aLiveOne();
      d.nowMs = T0 + 3_600_000 - leftMs;
      d.close(CLOSE.ticketStale.code);
      assert.equal(d.state.asking, ask, `${leftMs} ms left`);
    }
  });

  test('a token that the registry refuses is followed by a registration', () => {
    const d = aLiveOne();
    d.nowMs = T0 + 3_600_000 - 1;
    d.close(CLOSE.ticketStale.code);
    d.do({ type: 'registry-failed', verdict: 'token', retryAfterMs: null, reason: 'unauthenticated' });
    d.wake();
    assert.equal(d.state.asking, 'register');
  });
});

describe('backoff', () => {
  test('is full jitter between nothing and a doubling, bounded wait', () => {
    for (const [failures, bound] of [
      [0, 500],
      [1, 1000],
      [3, 4000],
      [6, 30_000],
      [900, 30_000],
    ] as const) {
      assert.equal(backoffMs(RETRY, failures, 0), 0);
      assert.equal(backoffMs(RETRY, failures, 1), bound);
    }
  });

  test('the generator is even over 0 … 1', () => {
    let seed = 42;
    let sum = 0;
    for (let i = 0; i < 10_000; i++) {
      const next = nextRandom(seed);
      seed = next.seed;
      assert.ok(next.value >= 0 && next.value < 1);
      sum += next.value;
    }
    assert.ok(Math.abs(sum / 10_000 - 0.5) < 0.02, String(sum));
  });

  test('is not reset by a connection that opens and drops', () => {
    const d = aLiveOne();
    for (let i = 0; i < 5; i++) {
      d.close(1006);
      d.wake();
      if (d.state.attempt === null) d.do(ANSWER);
      d.welcome();
      d.nowMs += 1000;
    }
    assert.equal(d.state.failures, 5);
  });

  test('starts over once a connection stood for the stable time', () => {
    const d = aLiveOne();
    d.close(1006);
    d.wake();
    d.welcome();
    assert.equal(d.state.failures, 1);
    d.nowMs += CONNECTION_DEFAULTS.stableMs;
    d.do({ type: 'tick' });
    assert.equal(d.state.failures, 0);
    assert.equal(d.state.strikes, 0);
  });
});

describe('heartbeats', () => {
  test('leave within the interval, and the pong resets the count', () => {
    const d = aLiveOne();
    d.nowMs += CONNECTION_DEFAULTS.stableMs;
    d.do({ type: 'tick' });
    assert.deepEqual(d.wake(), [{ type: 'ping', conn: 1 }]);
    assert.ok(d.nowMs - T0 <= 25_000 && d.nowMs - T0 >= 20_000);
    d.do({ type: 'heard', conn: 1 });
    assert.equal(d.state.serving?.pongDueMs, null);
  });

  test('unanswered ones are tried again, then the connection counts as dead and is resumed elsewhere', () => {
    const d = aLiveOne();
    while (types(d.wake()) !== 'ping');
    assert.equal(types(d.wake()), 'ping');
    assert.equal(types(d.wake()), 'close');
    assert.equal(d.state.serving, null);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 2, url: 'ws://gw-1' }]);
  });
});

describe('a drain', () => {
  const goaway = {
    type: 'goaway',
    conn: 1,
    ticket: 'away',
    targets: ['ws://gw-2'],
    afterMs: 3000,
  } as const satisfies ConnectionEvent;

  test('waits afterMs, resumes at the target by the ticket given, and closes the old one only once the new one stands', () => {
    const d = aLiveOne();
    assert.deepEqual(d.do(goaway), []);
    assert.equal(wakeAtMs(d.state), T0 + 3000);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 2, url: 'ws://gw-2' }]);
    assert.deepEqual(d.do({ type: 'opened', conn: 2 }), [{ type: 'hello', conn: 2, credential: { ticket: 'away' } }]);
    assert.equal(d.state.serving?.conn, 1);
    assert.deepEqual(d.welcome(), [
      { type: 'serve', conn: 2 },
      { type: 'close', conn: 1, bye: false },
    ]);
  });

  test('the old gateway closing first (superseded, or replaced by our own token) does not disturb the attempt', () => {
    for (const code of [CLOSE.superseded.code, CLOSE.replaced.code, CLOSE.goaway.code]) {
      const d = aLiveOne();
      d.do(goaway);
      d.wake();
      d.do({ type: 'opened', conn: 2 });
      d.do({ type: 'closed', conn: 1, code, reason: '' });
      assert.equal(d.state.closed, null);
      assert.equal(d.state.attempt?.conn, 2, String(code));
      assert.equal(types(d.welcome()), 'serve');
    }
  });

  test('a target that fails is followed by the next one while the old connection serves on', () => {
    const d = aLiveOne();
    d.do({ ...goaway, targets: ['ws://gw-2', 'ws://gw-3'] });
    d.wake();
    d.close(1006);
    assert.equal(d.state.serving?.conn, 1);
    assert.deepEqual(d.wake(), [{ type: 'open', conn: 3, url: 'ws://gw-3' }]);
  });

  test('while nobody takes it the pauses grow as after any failure, although the old connection stands and was stable', () => {
    const d = aLiveOne();
    d.nowMs += CONNECTION_DEFAULTS.stableMs;
    d.do({ type: 'tick' });
    d.do({ ...goaway, targets: [] });
    for (let attempts = 0; attempts < 12;) {
      if (d.state.attempt !== null) {
        d.do({ type: 'closed', conn: d.state.attempt.conn, code: 1006, reason: '' });
        attempts++;
      } else if (d.state.asking !== null)
        d.do({ type: 'registry-failed', verdict: 'again', retryAfterMs: null, reason: 'no-gateway' });
      else if (types(d.wake()).includes('ping')) d.do({ type: 'heard', conn: 1 });
    }
    assert.equal(d.state.serving?.conn, 1);
    assert.ok(d.state.failures >= 12, `${d.state.failures} failures are remembered`);
  });

  test('a gateway that dies before afterMs has passed is left at once', () => {
    const d = aLiveOne();
    d.do({ ...goaway, afterMs: 60_000 });
    d.do({ type: 'closed', conn: 1, code: 1006, reason: '' });
    assert.ok(wakeAtMs(d.state)! - d.nowMs <= RETRY.baseMs);
  });
});

describe('close codes', () => {
  test('every code of 4500 and above ends it, from a serving connection and from an attempt', () => {
    for (const { code, reason } of Object.values(CLOSE)) {
      for (const live of [true, false]) {
        const d = live ? aLiveOne() : new Driver();
        if (!live) {
          d.do({ type: 'start' });
          d.do(ANSWER);
          d.do({ type: 'opened', conn: 1 });
        }
        d.close(code, reason);
        assert.equal(d.state.closed !== null, code >= 4500, `${code} live: ${live}`);
        if (code < 4500) assert.ok(wakeAtMs(d.state) !== null || d.effects.length > 0, `${code} goes on`);
      }
    }
  });

  test('replaced right after a hello of ours that was given up means ourselves; later it means another client', () => {
    for (const [afterMs, ends] of [
      [29_999, false],
      [30_000, true],
    ] as const) {
      const d = new Driver();
      d.do({ type: 'start' });
      d.do(ANSWER);
      d.do({ type: 'opened', conn: 1 });
      d.close(1006);
      const givenUpAtMs = d.nowMs;
      d.wake();
      d.welcome();
      d.nowMs = givenUpAtMs + afterMs;
      d.close(CLOSE.replaced.code);
      assert.equal(d.state.closed !== null, ends, `${afterMs} ms`);
    }
  });

  test('ticket-stale is followed by the token at the same gateway, at once, not at the one that was lost', () => {
    const d = aLiveOne();
    d.close(1006);
    d.wake();
    d.do({ type: 'opened', conn: 2 });
    assert.deepEqual(d.close(CLOSE.ticketStale.code), [{ type: 'open', conn: 3, url: 'ws://gw-1' }]);
    assert.deepEqual(d.do({ type: 'opened', conn: 3 }), [{ type: 'hello', conn: 3, credential: { token: 'token-1' } }]);
  });

  test('ticket-stale in answer to a token waits: it cannot become a loop', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do(ANSWER);
    d.do({ type: 'opened', conn: 1 });
    assert.deepEqual(d.close(CLOSE.ticketStale.code), []);
  });

  test('token-expired leads to the registry, not to another gateway', () => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do(ANSWER);
    d.do({ type: 'opened', conn: 1 });
    assert.deepEqual(d.close(CLOSE.tokenExpired.code), [
      { type: 'ask', ask: 'register', token: null, exclude: ['gw-0'] },
    ]);
  });

  test('overloaded waits at least the time that it told', () => {
    const d = aLiveOne();
    d.close(CLOSE.overloaded.code, 'overloaded retry-after=4000');
    const waited = wakeAtMs(d.state)! - d.nowMs;
    assert.ok(waited >= 4000 && waited <= 5000, String(waited));
  });

  test('verdicts of unknown codes follow the range', () => {
    assert.equal(verdictOf(4999, '').kind, 'leave');
    assert.equal(verdictOf(4499, '').kind, 'again');
    assert.equal(verdictOf(1000, '').kind, 'again');
    assert.equal(verdictOf(5000, '').kind, 'again');
  });
});

test('stop says goodbye to the serving connection and drops the attempt', () => {
  const d = aLiveOne();
  d.do({ type: 'goaway', conn: 1, ticket: 't', targets: ['ws://gw-1'], afterMs: 0 });
  d.wake();
  assert.deepEqual(d.do({ type: 'stop' }), [
    { type: 'close', conn: 2, bye: false },
    { type: 'close', conn: 1, bye: true },
  ]);
  assert.deepEqual(d.do({ type: 'start' }), []);
});

test('seeded walks: never two attempts or questions at once, a next step always exists, waits stay bounded', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const d = new Driver(seed);
    let random = seed * 7919;
    const pick = (n: number): number => {
      const next = nextRandom(random);
      random = next.seed;
      return Math.floor(next.value * n);
    };
    const opened = new Set<number>();
    d.do({ type: 'start' });
    for (let i = 0; i < 300 && d.state.closed === null; i++) {
      const { asking, attempt, serving, pauseUntilMs } = d.state;
      const label = `seed ${seed} step ${i}`;
      assert.ok([asking, attempt, pauseUntilMs].filter((x) => x !== null).length <= 1, `${label}: one thing at a time`);
      assert.ok(asking !== null || wakeAtMs(d.state) !== null, `${label}: something comes next`);
      if (pauseUntilMs !== null) assert.ok(pauseUntilMs - d.nowMs <= 40_000, `${label}: bounded`);
      const codes = [1006, 4000, 4001, 4003, 4004, 4005, 4006, 4008, 4009];
      const code = codes[pick(codes.length)]!;
      const dice = pick(10);
      if (asking !== null)
        d.do(dice < 6 ? ANSWER : { type: 'registry-failed', verdict: 'again', retryAfterMs: null, reason: 'away' });
      else if (attempt !== null && dice < 5) d.welcome();
      else if (attempt !== null && dice < 8) d.do({ type: 'closed', conn: attempt.conn, code, reason: '' });
      else if (serving !== null && dice < 3) d.do({ type: 'closed', conn: serving.conn, code, reason: '' });
      else if (serving !== null && dice < 5)
        d.do({ type: 'goaway', conn: serving.conn, ticket: 't', targets: ['ws://gw-1'], afterMs: pick(2000) });
      else if (serving !== null && dice < 6) d.do({ type: 'resync', conn: serving.conn });
      else if (serving !== null && dice < 8) d.do({ type: 'heard', conn: serving.conn });
      else d.wake();
      for (const effect of d.effects)
        if (effect.type === 'open') {
          assert.ok(!opened.has(effect.conn), label);
          opened.add(effect.conn);
        }
    }
  }
});
