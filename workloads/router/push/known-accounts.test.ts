import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountId, AppId, DeviceId } from '../../protocol/ids.ts';
import { KNOWN_ACCOUNTS_MAX, KnownAccounts } from './known-accounts.ts';

test('the devices of an account are known as last seen, of as many accounts as may be; the longest unseen goes', () => {
  const known = new KnownAccounts();
  const app = 'shop' as AppId;
  const see = (account: string, device: string): void =>
    known.remember(app, account as AccountId, [device as DeviceId]);
  for (let i = 0; i < KNOWN_ACCOUNTS_MAX; i++) see(`a-${i}`, 'one');
  see('a-0', 'two');
  see('more', 'one');
  const found = ['a-0', 'a-1', 'a-2', 'more'].map((account) => known.find(app, account as AccountId));
  assert.deepEqual(found, [['two'], [], ['one'], ['one']]);
  assert.deepEqual(known.find('other' as AppId, 'a-2' as AccountId), []);
});
