import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CLOSE } from '../protocol/codes.ts';
import { wakeAtMs } from './connection.ts';
import { ANSWER, Driver, RETRY, T0, types } from './connection-driver.ts';
import type { Credentials } from './connection-state.ts';

describe('a gateway that the server takes away', () => {
  /** Serves at gw-1 with a ticket for gw-2, after `failures` failed attempts. */
  const afterFailures = (failures: number): Driver => {
    const d = new Driver();
    d.do({ type: 'start' });
    d.do(ANSWER);
    for (let i = 0; i < failures; i++) {
      d.close(1006);
      d.wake();
    }
    d.welcome({ targets: ['ws://gw-2', 'ws://gw-3'] });
    d.nowMs += 1000;
    return d;
  };

  for (const code of [1006, 1001, CLOSE.goaway.code, CLOSE.stopping.code])
    test(`after ${code} the first attempt at another target waits no longer than the base, whatever failed before`, () => {
      const d = afterFailures(4);
      const { failures } = d.state;
      d.close(code);
      assert.ok(wakeAtMs(d.state)! - d.nowMs <= RETRY.baseMs);
      assert.equal(d.state.failures, failures);
      assert.deepEqual(d.wake(), [{ type: 'open', conn: d.state.lastConn, url: 'ws://gw-2' }]);
      d.close(1006);
      assert.equal(d.state.failures, failures + 1, 'an attempt that fails counts');
    });

  for (const name of ['slow', 'silent', 'internal', 'storeUnavailable'] as const)
    test(`after ${name} it waits as after any failure`, () => {
      const d = afterFailures(4);
      const { failures } = d.state;
      d.close(CLOSE[name].code);
      assert.equal(d.state.failures, failures + 1);
    });

  test('without a ticket for another gateway it waits as after any failure', () => {
    const d = afterFailures(4);
    const { failures } = d.state;
    d.do({ type: 'heard', conn: d.state.serving!.conn, ticket: 't', targets: [d.state.serving!.url] });
    d.close(1006);
    assert.equal(d.state.failures, failures + 1);
  });

  test('happens so often only: three times, and once more for each time that a connection would have had to stand', () => {
    const d = afterFailures(1);
    const begunAtMs = d.nowMs;
    let hurried = 0;
    let kills = 0;
    while (d.nowMs - begunAtMs < 100_000) {
      const { failures } = d.state;
      d.close(1006);
      kills++;
      if (d.state.failures === failures) hurried++;
      while (d.state.attempt === null)
        if (d.state.asking === null) d.wake();
        else d.do(ANSWER);
      d.welcome({ targets: ['ws://gw-2', 'ws://gw-3', 'ws://gw-4'] });
      d.nowMs += 500;
    }
    assert.ok(kills > hurried, `${kills} kills`);
    assert.ok(hurried >= 3 && hurried <= 13, String(hurried));
  });
});

describe('what an earlier life of the client left', () => {
  const KEPT: Credentials = {
    token: ANSWER.token,
    ticket: 'kept-ticket',
    targets: ['ws://gw-1'],
    gateways: ANSWER.gateways,
  };
  const started = (kept: Credentials = KEPT): Driver => {
    const d = new Driver(1, kept);
    d.do({ type: 'start' });
    return d;
  };

  test('is enough to resume by ticket, without the registry', () => {
    const d = new Driver(1, KEPT);
    assert.deepEqual(d.do({ type: 'start' }), [{ type: 'open', conn: 1, url: 'ws://gw-1' }]);
    assert.deepEqual(d.do({ type: 'opened', conn: 1 }), [
      { type: 'hello', conn: 1, credential: { ticket: 'kept-ticket' } },
    ]);
  });

  test('leads to the token where the ticket is stale, and to the registry where the token ran out', () => {
    const d = started();
    d.do({ type: 'opened', conn: 1 });
    assert.deepEqual(types(d.close(CLOSE.ticketStale.code)), 'open');
    assert.deepEqual(types(d.do({ type: 'opened', conn: 2 })), 'hello');
    const old = started({ ...KEPT, token: { value: 'old', expiresAtMs: T0 - 1 } });
    old.do({ type: 'opened', conn: 1 });
    old.close(CLOSE.ticketStale.code);
    assert.equal(old.state.asking, 'register');
  });

  for (const name of ['tokenInvalid', 'revoked'] as const)
    test(`is thrown away on ${name}: the client registers; once it was welcomed that ends it`, () => {
      const d = started();
      d.do({ type: 'opened', conn: 1 });
      d.close(CLOSE[name].code);
      assert.deepEqual([d.state.asking, d.state.closed], ['register', null]);
      const welcomed = started();
      welcomed.welcome();
      welcomed.close(CLOSE[name].code);
      assert.equal(welcomed.state.closed?.kind, 'dismissed');
    });

  test('is not tried for long: after two attempts the registry is asked', () => {
    const d = started();
    d.close(1006);
    assert.equal(types(d.wake()), 'open');
    d.close(1006);
    d.wake();
    assert.equal(d.state.asking, 'assign');
  });
});
