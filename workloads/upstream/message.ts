// A record of the bus to a message that handlers can trust, or why it is none. Parsing is apart from handling (A7): what does not parse is
// a dead letter at once, and no handler ever sees it. Pure; batch.ts calls it.
import { InvalidNameError, parseAccountId, parseAppId, parseDeviceId } from '../protocol/ids.ts';
import type { AccountId, AppId, DeviceId } from '../protocol/ids.ts';
import type { ReceivedRecord } from '../bus/port.ts';

export interface UpstreamMessage {
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** The gateway that took it. */
  readonly gateway: string;
  /** Names the handler. */
  readonly kind: string;
  /** Of de-duplication, chosen by the client: one message of a device, however often it was sent. */
  readonly key: string;
  readonly receivedAtMs: number;
  /** JSON text, as the client sent it. */
  readonly bodyText: string;
  readonly body: unknown;
  /** Names this record: a copy that the client sent again has another, a re-driven dead letter that of its first life. */
  readonly origin: string;
}

export type ParsedMessage =
  | { readonly kind: 'message'; readonly message: UpstreamMessage }
  | { readonly kind: 'malformed'; readonly reason: string };

/** Header of a re-driven record. */
export const ORIGIN_HEADER = 'origin';

const NAME_MAX = { kind: 64, key: 128 } as const;
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Where a record stands in the topic; what is re-driven says where it stood first. */
export function originOf({ headers, partition, offset }: ReceivedRecord): string {
  return headers[ORIGIN_HEADER] ?? `${partition}-${offset}`;
}

export function parseMessage(record: ReceivedRecord): ParsedMessage {
  try {
    return { kind: 'message', message: parse(record) };
  } catch (error) {
    if (error instanceof InvalidNameError || error instanceof MalformedError)
      return { kind: 'malformed', reason: error.message };
    throw error;
  }
}

class MalformedError extends Error {
  readonly code = 'malformed';
}

function parse(record: ReceivedRecord): UpstreamMessage {
  const { headers } = record;
  const bodyText = textOf(record.value);
  return {
    app: parseAppId(headers['app']),
    account: parseAccountId(headers['account']),
    device: parseDeviceId(headers['device']),
    gateway: headers['gateway'] ?? '',
    kind: nameAt(headers, 'kind'),
    key: nameAt(headers, 'key'),
    receivedAtMs: timeAt(headers, 'receivedAtMs'),
    bodyText,
    body: jsonOf(bodyText),
    origin: originOf(record),
  };
}

function nameAt(headers: Readonly<Record<string, string>>, name: 'kind' | 'key'): string {
  const value = headers[name] ?? '';
  if (value.length >= 1 && value.length <= NAME_MAX[name]) return value;
  throw new MalformedError(`${name}: expected 1–${NAME_MAX[name]} characters, got ${value.length}`);
}

function timeAt(headers: Readonly<Record<string, string>>, name: string): number {
  const value = headers[name] ?? '';
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new MalformedError(`${name}: expected ms since 1970, got ${JSON.stringify(value.slice(0, 40))}`);
}

function textOf(value: Uint8Array): string {
  try {
    return decoder.decode(value);
  } catch {
    throw new MalformedError('body: expected UTF-8');
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MalformedError('body: expected JSON');
  }
}
