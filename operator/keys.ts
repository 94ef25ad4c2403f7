// The cluster's own keys: makes them, rotates them, retires old ones, as the files that roles mount (KEY_FILES). The first key of
// a list signs and all verify, so a new key is first appended, and signs only once every mounted Secret has it; an old one goes
// when nothing that it signed is good any more. plan.ts calls nextKeyFiles; randomness comes in as a KeyMaker.
import { KEY_FILES } from '../workloads/protocol/credentials.ts';
import type { SigningKey, SymmetricKey } from '../workloads/protocol/credentials.ts';
import { isRow } from './kube/fields.ts';

/** A mounted Secret reaches a pod within about 90 s and is polled every 5 s; this is several times that. */
export const KEY_SPREAD_MS = 10 * 60_000;

/** A webhook that was signed is sent again for a day at most. */
const WEBHOOK_VALID_MS = 24 * 3_600_000;

export interface KeyMaker {
  symmetric(nowIso: string): SymmetricKey;
  signing(nowIso: string): SigningKey;
}
export type KeyFiles = Readonly<Record<string, string>>;
export interface KeyTimes {
  readonly nowMs: number;
  readonly rotationMs: number;
  readonly tokenTtlMs: number;
  readonly ticketTtlMs: number;
}

/**
 * What the files shall hold now, and what changed in words (empty: nothing). Unreadable lists are made anew.
 * @param files as the Secret has them, decoded; absent ones are made
 */
export function nextKeyFiles(
  files: KeyFiles,
  times: KeyTimes,
  maker: KeyMaker,
): { readonly files: KeyFiles; readonly changes: readonly string[] } {
  const changes: string[] = [];
  const symmetric = (file: string, validMs: number): string => {
    const keys = readList(files[file], isSymmetricKey);
    const next = nextList(keys, { ...times, validMs }, (at) => maker.symmetric(at));
    if (next.change !== null) changes.push(`${file}: ${next.change}`);
    return next.change === null ? files[file]! : JSON.stringify(next.keys);
  };
  const signing = (file: string, validMs: number): { keys: readonly SigningKey[]; text: string; changed: boolean } => {
    const held = readList(files[file], isPrivateKey);
    const next = nextList(held, { ...times, validMs }, (at) => maker.signing(at));
    if (next.change !== null) changes.push(`${file}: ${next.change}`);
    const text = next.change === null ? files[file]! : JSON.stringify(next.keys);
    return { keys: next.keys, text, changed: next.change !== null };
  };
  const token = signing(KEY_FILES.tokenPrivate, times.tokenTtlMs);
  const open = JSON.stringify(token.keys.map(({ privateJwk: _private, ...rest }) => rest));
  if (!token.changed && files[KEY_FILES.tokenPublic] !== open) changes.push(`${KEY_FILES.tokenPublic}: put right`);
  return {
    files: {
      [KEY_FILES.tokenPrivate]: token.text,
      [KEY_FILES.tokenPublic]: open,
      [KEY_FILES.ticket]: symmetric(KEY_FILES.ticket, times.ticketTtlMs),
      [KEY_FILES.link]: symmetric(KEY_FILES.link, 0),
      [KEY_FILES.admin]: symmetric(KEY_FILES.admin, 0),
      [KEY_FILES.webhook]: signing(KEY_FILES.webhook, WEBHOOK_VALID_MS).text,
    },
    changes,
  };
}

interface ListTimes {
  readonly nowMs: number;
  readonly rotationMs: number;
  /** What a key signed is good for this long. */
  readonly validMs: number;
}

function nextList<K extends { readonly createdAt: string }>(
  keys: readonly K[],
  times: ListTimes,
  make: (nowIso: string) => K,
): { readonly keys: readonly K[]; readonly change: string | null } {
  const nowIso = new Date(times.nowMs).toISOString();
  const [signer, ...others] = keys;
  if (signer === undefined) return { keys: [make(nowIso)], change: 'made' };
  const age = times.nowMs - Date.parse(signer.createdAt);
  const pending = others.find((key) => key.createdAt > signer.createdAt);
  if (pending !== undefined) {
    if (times.nowMs - Date.parse(pending.createdAt) < KEY_SPREAD_MS) return { keys, change: null };
    return { keys: [pending, ...keys.filter((key) => key !== pending)], change: 'the new key signs' };
  }
  if (others.length > 0 && age >= 2 * KEY_SPREAD_MS + times.validMs) return { keys: [signer], change: 'old keys gone' };
  if (others.length === 0 && age >= times.rotationMs)
    return { keys: [signer, make(nowIso)], change: 'a new key spreads' };
  return { keys, change: null };
}

function isKey(row: unknown): row is Record<string, unknown> {
  return isRow(row) && typeof row['kid'] === 'string' && Number.isFinite(Date.parse(String(row['createdAt'])));
}
function isSymmetricKey(row: unknown): row is SymmetricKey {
  return isKey(row) && typeof row['secret'] === 'string';
}
function isPrivateKey(row: unknown): row is SigningKey {
  return isKey(row) && isRow(row['publicJwk']) && isRow(row['privateJwk']);
}

function readList<K>(text: string | undefined, is: (row: unknown) => row is K): readonly K[] {
  if (text === undefined) return [];
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    return []; // spoilt by hand: made anew, and said so as 'made'
  }
  return Array.isArray(rows) && rows.every((row) => is(row)) ? rows : [];
}

/** The secret that is the bearer of gateways' admin ports; null when the file holds none. */
export function adminBearer(files: KeyFiles): string | null {
  return readList(files[KEY_FILES.admin], isSymmetricKey)[0]?.secret ?? null;
}
