// Whom a push is for: the `target` of a request, typed. request.ts parses with it what schemas/message.ts let through; lists of names are
// checked name by name and each name counts once.
import { RefusedError } from '../../protocol/codes.ts';
import {
  InvalidNameError,
  TOPIC_ALL,
  parseAccountId,
  parseDeviceId,
  parseGroupName,
  parseTopicName,
} from '../../protocol/ids.ts';
import type { AccountId, DeviceId, TopicName } from '../../protocol/ids.ts';

export type Target =
  | { readonly kind: 'device'; readonly device: DeviceId }
  | { readonly kind: 'account'; readonly account: AccountId }
  | { readonly kind: 'topic'; readonly topic: TopicName }
  | { readonly kind: 'devices'; readonly devices: readonly DeviceId[] }
  | { readonly kind: 'accounts'; readonly accounts: readonly AccountId[] }
  | { readonly kind: 'group'; readonly group: string };
/** Targets whose recipients are stored in chunks and expanded by a job (R10). */
export type ListTarget = Extract<Target, { kind: 'devices' | 'accounts' | 'group' }>;

/** As it stands in a request, of the schema's form. */
export interface TargetJson {
  readonly device?: string;
  readonly account?: string;
  readonly topic?: string;
  readonly everyone?: true;
  readonly devices?: readonly string[];
  readonly accounts?: readonly string[];
  readonly group?: string;
  readonly satisfiedBy?: 'all' | 'any';
}

export const TARGET_KINDS = ['device', 'account', 'topic', 'everyone', 'devices', 'accounts', 'group'] as const;
const OF_ACCOUNTS: readonly Target['kind'][] = ['account', 'accounts', 'group'];

export interface ParsedTarget {
  readonly target: Target;
  readonly satisfiedByAny: boolean;
}

/** @param at where it stands, for errors: `target`, `messages[3].target`. Throws RefusedError. */
export function parseTarget(json: TargetJson, at: string): ParsedTarget {
  if (TARGET_KINDS.filter((kind) => json[kind] !== undefined).length !== 1)
    throw invalid(at, `expected exactly one of ${TARGET_KINDS.join(', ')}`);
  const target = named(json, at);
  if (json.satisfiedBy !== undefined && !OF_ACCOUNTS.includes(target.kind))
    throw invalid(`${at}.satisfiedBy`, 'expected only with account, accounts or group');
  return { target, satisfiedByAny: json.satisfiedBy === 'any' };
}

function named(json: TargetJson, at: string): Target {
  const { device, account, topic, devices, accounts, group } = json;
  try {
    if (device !== undefined) return { kind: 'device', device: parseDeviceId(device, `${at}.device`) };
    if (account !== undefined) return { kind: 'account', account: parseAccountId(account, `${at}.account`) };
    if (topic !== undefined) return { kind: 'topic', topic: parseTopicName(topic, `${at}.topic`) };
    if (devices !== undefined) return { kind: 'devices', devices: each(devices, `${at}.devices`, parseDeviceId) };
    if (accounts !== undefined) return { kind: 'accounts', accounts: each(accounts, `${at}.accounts`, parseAccountId) };
    if (group !== undefined) return { kind: 'group', group: parseGroupName(group, `${at}.group`) };
    return { kind: 'topic', topic: TOPIC_ALL };
  } catch (error) {
    if (error instanceof InvalidNameError)
      throw new RefusedError('invalid-request', error.message, { field: error.field, cause: error });
    throw error;
  }
}

/** Each name once. The place is put into words only for a name that is refused: a list may have 100,000. */
function each<T extends string>(names: readonly string[], at: string, parse: (name: string, at: string) => T): T[] {
  const distinct = new Set<T>();
  let place = 0;
  try {
    for (const name of names) {
      distinct.add(parse(name, at));
      place++;
    }
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    parse(names[place]!, `${at}[${place}]`);
    throw error;
  }
  return [...distinct];
}

function invalid(field: string, problem: string): RefusedError {
  return new RefusedError('invalid-request', `${field}: ${problem}`, { field });
}
