// Devices of accounts as last seen in the store, for the time when it is away (R13): an account's push then reaches those that were known
// here. Bounded, the least recently used goes first; nothing is decided by it while the store answers.
import type { AccountId, AppId, DeviceId } from '../../protocol/ids.ts';

/** About 300 bytes each. */
export const KNOWN_ACCOUNTS_MAX = 20_000;

export class KnownAccounts {
  readonly #devices = new Map<string, readonly DeviceId[]>();

  remember(app: AppId, account: AccountId, devices: readonly DeviceId[]): void {
    const key = `${app}/${account}`; // an app's name has no slash
    this.#devices.delete(key);
    this.#devices.set(key, devices);
    if (this.#devices.size <= KNOWN_ACCOUNTS_MAX) return;
    const [oldest] = this.#devices.keys();
    this.#devices.delete(oldest!);
  }

  /** Empty: not known here. */
  find(app: AppId, account: AccountId): readonly DeviceId[] {
    return this.#devices.get(`${app}/${account}`) ?? [];
  }
}
