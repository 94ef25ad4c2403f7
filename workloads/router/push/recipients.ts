// Who stands behind a name: the devices of accounts, the accounts of a group.
import { RefusedError } from '../../protocol/codes.ts';
import type { AccountId, AppId, DeviceId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Store } from '../../store/port.ts';

/** The devices of many accounts: look-ups that leave in one tick. */
export async function devicesOfAccounts(
  store: Pick<Store, 'accountDevices'>,
  app: AppId,
  accounts: readonly AccountId[],
): Promise<readonly DeviceId[]> {
  const devices = await Promise.all(accounts.map((account) => store.accountDevices(app, account)));
  return devices.flat();
}

/** An account's devices, at least one. Throws RefusedError 'device-unknown'. */
export function requireDevices(devices: readonly DeviceId[], account: AccountId): readonly DeviceId[] {
  if (devices.length > 0) return devices;
  throw new RefusedError('device-unknown', `target.account: no device of ${account} ever registered`, {
    field: 'target.account',
  });
}

/** All members of a group, page by page. Rejects with RefusedError 'group-unknown'. */
export async function groupAccounts(
  store: Pick<Store, 'groupMembers'>,
  app: AppId,
  group: string,
): Promise<readonly AccountId[]> {
  const accounts: AccountId[] = [];
  const limit = LIMITS.chunkRecipientsMax;
  for (;;) {
    const after = accounts.at(-1) ?? null;
    const page = await store.groupMembers(app, group, { after, limit });
    if (page === null)
      throw new RefusedError('group-unknown', `target.group: no group ${group}`, { field: 'target.group' });
    accounts.push(...page.accounts);
    if (page.accounts.length < limit) return accounts;
  }
}
