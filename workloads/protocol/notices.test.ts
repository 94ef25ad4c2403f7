import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AppDefinition } from './apps.ts';
import type { AccountId, AppId, DeviceId, GatewayName, MessageId } from './ids.ts';
import { isNoticeWanted, noticeId, noticeJob } from './notices.ts';
import type { Notice } from './notices.ts';

const messageId = '01JD9Z6Y4M8Q0V2X4B6D8F0H2K' as MessageId;
const waiting = (device: string): Notice => ({
  event: 'waiting',
  device: device as DeviceId,
  messageId,
  stream: '@normal',
  atMs: 1,
});

test('the job of one event has one id, of another event another one, and never more than 128 characters', () => {
  assert.equal(noticeId(waiting('a')), noticeId({ ...waiting('a'), atMs: 2 }));
  const devices = Array.from({ length: 100_000 }, (_, i) => noticeId(waiting(`device-${i}`)));
  assert.equal(new Set(devices).size, devices.length);
  assert.ok(noticeId(waiting('d'.repeat(128))).length <= 128);
  const gateway = 'gw-0' as GatewayName;
  const presence = {
    event: 'presence',
    device: 'a' as DeviceId,
    account: 'ada' as AccountId,
    gateway,
    atMs: 1,
  } as const;
  const ids = [
    noticeId({ ...presence, online: true, generation: 1 }),
    noticeId({ ...presence, online: false, generation: 1 }),
    noticeId({ ...presence, online: true, generation: 2 }),
  ];
  assert.equal(new Set(ids).size, 3);
});

test('a job carries the notice as JSON', () => {
  const job = noticeJob('shop' as AppId, waiting('a'));
  assert.deepEqual(JSON.parse(new TextDecoder().decode(job.payload)), waiting('a'));
});

test('an app is told what it asked for', () => {
  const app = { webhook: { url: 'https://a', timeoutMs: 1, events: ['waiting'] } } as unknown as AppDefinition;
  assert.deepEqual([isNoticeWanted(app, 'waiting'), isNoticeWanted(app, 'presence')], [true, false]);
  assert.equal(isNoticeWanted({ ...app, webhook: undefined } as unknown as AppDefinition, 'waiting'), false);
});
