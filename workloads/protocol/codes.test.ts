import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLOSE, ERRORS, RefusedError, mayReconnect } from './codes.ts';

const rows = Object.values(CLOSE);

test('each close code and each reason stands for one thing, within the ranges', () => {
  assert.equal(new Set(rows.map(({ code }) => code)).size, rows.length);
  assert.equal(new Set(rows.map(({ reason }) => reason)).size, rows.length);
  for (const { code, reason } of rows) assert.ok(code >= 4000 && code <= 4999 && reason.length <= 60, reason);
});

test('4500–4999 forbid reconnecting, everything else allows it', () => {
  const forbidden = rows.filter(({ code }) => !mayReconnect(code)).map(({ reason }) => reason);
  assert.deepEqual(forbidden, ['replaced', 'token-invalid', 'revoked', 'protocol', 'version', 'too-large']);
  assert.deepEqual([1000, 1006, 3999, 4499, 4500, 4999, 5000].map(mayReconnect), [
    true,
    true,
    true,
    true,
    false,
    false,
    true,
  ]);
});

test('errors have a status, say when, and what helps', () => {
  for (const { status, when, remedy } of Object.values(ERRORS)) {
    assert.ok(status >= 400 && status < 600);
    assert.ok(when.length > 0 && remedy.length > 0);
  }
});

test('a refusal names field and time to come back where it has them', () => {
  const cause = new Error('inner');
  const refused = new RefusedError('rate-limited', 'x', { field: 'a.b', retryAfterMs: 5, cause });
  assert.deepEqual(
    [refused.code, refused.field, refused.retryAfterMs, refused.cause],
    ['rate-limited', 'a.b', 5, cause],
  );
  assert.deepEqual(
    [new RefusedError('internal', 'x').field, new RefusedError('internal', 'x').retryAfterMs],
    [null, null],
  );
});
