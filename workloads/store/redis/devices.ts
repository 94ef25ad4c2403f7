// Devices in Redis. A registration touches the account's place, the device's and the token's, in this order; the device's row is
// the truth, and whoever reads an account or a token checks it, so that a crash between two steps does no harm.
import { accountPlace, devicePlace, textPlace } from './keys.ts';
import {
  ACCOUNT_DEVICES,
  CLAIM_KEY,
  CLOSE_DEVICE,
  ENTER_ACCOUNT,
  ENTER_DEVICE,
  GET_TOKEN,
  LEAVE_ACCOUNT,
  PUT_TOKEN,
} from './scripts/devices.ts';
import { lookUp } from './sessions.ts';
import { finish, rowsOf } from './subscriptions.ts';
import { askAll, askOne } from './topology.ts';
import type { Asked, Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { Claim, RegisterDevice, RegisterOutcome } from '../port.ts';
import type { AccountId, AppId, DeviceId, MessageId } from '../../protocol/ids.ts';

export const DEVICE_SCRIPTS = [
  ACCOUNT_DEVICES,
  CLAIM_KEY,
  CLOSE_DEVICE,
  ENTER_ACCOUNT,
  ENTER_DEVICE,
  GET_TOKEN,
  LEAVE_ACCOUNT,
  PUT_TOKEN,
] as const;

export async function registerDevice(topology: Topology, request: RegisterDevice): Promise<RegisterOutcome> {
  if (!(await enterAccount(topology, request))) return 'account-full';
  const { app, account, device } = request;
  const { bucket, prefix, name } = devicePlace(app, device);
  const [accountBefore, rows] = listOf(
    await askOne(topology, ENTER_DEVICE, { bucket, key: prefix, args: [name, account] }),
  );
  const before = textOf(accountBefore);
  const token = textPlace(app, request.tokenId);
  const put = {
    bucket: token.bucket,
    key: `${token.prefix}k${token.name}`,
    args: [account, device, request.tokenExpiresAtMs],
  };
  await Promise.all([
    askOne(topology, PUT_TOKEN, put),
    before === ''
      ? Promise.resolve()
      : leaveAccount(topology, app, { account: before as AccountId, devices: [device] }),
    finish(topology, { app, device }, rowsOf(rows!)),
  ]);
  return 'registered';
}

/** False: the account is full, and all its devices are truly its own. */
async function enterAccount(topology: Topology, request: RegisterDevice): Promise<boolean> {
  const { app, account, device, accountDevicesMax } = request;
  const { bucket, prefix, name } = accountPlace(app, account);
  const enter = { bucket, key: prefix, args: [name, device, accountDevicesMax] };
  if ((await askOne(topology, ENTER_ACCOUNT, enter)) === 1) return true;
  const { strays } = await checkedDevices(topology, app, account);
  if (strays.length === 0) return false;
  await leaveAccount(topology, app, { account, devices: strays });
  return (await askOne(topology, ENTER_ACCOUNT, enter)) === 1;
}

function leaveAccount(
  topology: Topology,
  app: AppId,
  gone: { account: AccountId; devices: readonly DeviceId[] },
): Promise<unknown> {
  const { bucket, prefix, name } = accountPlace(app, gone.account);
  const asked: Asked[] = gone.devices.map((device) => ({ bucket, key: prefix, args: [name, device] }));
  return askAll(topology, LEAVE_ACCOUNT, asked);
}

/** The devices entered for an account: those whose row says so too, and strays of registrations cut short. */
async function checkedDevices(
  topology: Topology,
  app: AppId,
  account: AccountId,
): Promise<{ own: DeviceId[]; strays: DeviceId[] }> {
  const { bucket, prefix, name } = accountPlace(app, account);
  const entered = listOf(await askOne(topology, ACCOUNT_DEVICES, { bucket, key: prefix, args: [name] }));
  const devices = entered.map((device) => textOf(device) as DeviceId);
  const rows = await lookUp(topology, app, devices);
  const isOwn = (_: DeviceId, i: number): boolean => rows[i]?.account === account;
  return { own: devices.filter(isOwn), strays: devices.filter((device, i) => !isOwn(device, i)) };
}

export async function accountDevices(topology: Topology, app: AppId, account: AccountId): Promise<readonly DeviceId[]> {
  return (await checkedDevices(topology, app, account)).own;
}

export async function closeDevice(topology: Topology, app: AppId, device: DeviceId): Promise<boolean> {
  const { bucket, prefix, name } = devicePlace(app, device);
  const reply = await askOne(topology, CLOSE_DEVICE, { bucket, key: prefix, args: [name] });
  if (reply === null) return false;
  const [account, rows] = listOf(reply);
  await leaveAccount(topology, app, { account: textOf(account) as AccountId, devices: [device] });
  await finish(topology, { app, device }, rowsOf(rows!));
  return true;
}

/** A token counts while its device has the same account and was not closed after it was given. */
export async function tokenClient(
  topology: Topology,
  app: AppId,
  tokenId: string,
): Promise<{ account: AccountId; device: DeviceId } | null> {
  const { bucket, prefix, name } = textPlace(app, tokenId);
  const reply = await askOne(topology, GET_TOKEN, { bucket, key: `${prefix}k${name}`, args: [] });
  if (reply === null) return null;
  const [account, device, givenAtMs] = listOf(reply);
  const client = { account: textOf(account) as AccountId, device: textOf(device) as DeviceId };
  const [row] = await lookUp(topology, app, [client.device]);
  return row?.account === client.account && numberOf(givenAtMs) >= row.revokedAtMs ? client : null;
}

export async function claimKey(
  topology: Topology,
  at: { readonly app: AppId; readonly key: string; readonly windowMs: number },
  mine: { readonly messageId: MessageId; readonly fingerprint: string },
): Promise<Claim> {
  const { bucket, prefix, name } = textPlace(at.app, at.key);
  const args = [mine.messageId, mine.fingerprint, at.windowMs];
  const [claimed, messageId, fingerprint] = listOf(
    await askOne(topology, CLAIM_KEY, { bucket, key: `${prefix}q${name}`, args }),
  );
  return { claimed: claimed === 1, messageId: textOf(messageId) as MessageId, fingerprint: textOf(fingerprint) };
}
