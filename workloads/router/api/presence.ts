// Where devices are, for whoever may push to them: GET /v1/devices/{device} and GET /v1/accounts/{account}/devices. A route counts only
// while its life has a lease.
import type { AppDefinition } from '../../protocol/apps.ts';
import { RefusedError } from '../../protocol/codes.ts';
import type { AccountId, DeviceId } from '../../protocol/ids.ts';
import type { Route, Store } from '../../store/port.ts';
import type { Gateways } from '../delivery/gateways.ts';

export interface PresenceAnswer {
  readonly device: DeviceId;
  readonly account?: AccountId;
  readonly online: boolean;
  readonly gateway: string | null;
  /** ISO 8601 */
  readonly since: string | null;
}

export interface PresenceDeps {
  readonly store: Pick<Store, 'device' | 'accountDevices' | 'routes'>;
  readonly gateways: Gateways;
}

/** Rejects with RefusedError 'device-unknown'. */
export async function devicePresence(
  deps: PresenceDeps,
  app: AppDefinition,
  device: DeviceId,
): Promise<PresenceAnswer> {
  const info = await deps.store.device(app.name, device);
  if (info === null)
    throw new RefusedError('device-unknown', `device: ${device} never registered`, { field: 'device' });
  return { ...(await describe(deps, device, info.route)), account: info.account };
}

/** An account without devices answers an empty list. */
export async function accountPresence(
  deps: PresenceDeps,
  app: AppDefinition,
  account: AccountId,
): Promise<{ account: AccountId; devices: readonly PresenceAnswer[] }> {
  const devices = await deps.store.accountDevices(app.name, account);
  const routes = devices.length === 0 ? [] : await deps.store.routes(app.name, devices);
  return {
    account,
    devices: await Promise.all(devices.map((device, i) => describe(deps, device, routes[i] ?? null))),
  };
}

async function describe(deps: PresenceDeps, device: DeviceId, route: Route | null): Promise<PresenceAnswer> {
  if (route !== null && deps.gateways.byBoot(route.bootId) === null) await deps.gateways.refresh();
  const online = route !== null && deps.gateways.byBoot(route.bootId) !== null;
  return {
    device,
    online,
    gateway: online ? route.gateway : null,
    since: online ? new Date(route.connectedAtMs).toISOString() : null,
  };
}
