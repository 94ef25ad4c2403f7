// Names and ids: their grammar, their branded types, and the one place where text becomes an id.
// Everything that enters the system (HTTP, frames, manifests) passes through here first; the store and the
// links can then build keys from ids without escaping. No braces, spaces or slashes at the edges are possible.

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** A tenant: the name of a `PushApp`. A DNS label, 1–63 characters. */
export type AppId = Brand<string, 'AppId'>;
/** A user of an app's business; owns devices. 1–128 characters. */
export type AccountId = Brand<string, 'AccountId'>;
/** One installation of a client. 1–128 characters, unique within its app. */
export type DeviceId = Brand<string, 'DeviceId'>;
/** A topic's name within its app, 1–128 characters; `$all` is everyone in the app. */
export type TopicName = Brand<string, 'TopicName'>;
/** 26 characters of Crockford base32, sortable by time (48 bits of ms, 80 random bits). */
export type MessageId = Brand<string, 'MessageId'>;
/** Names one run of offsets of one stream; opaque to clients. */
export type Epoch = Brand<string, 'Epoch'>;
/** One life of a gateway process: new at each start. */
export type BootId = Brand<string, 'BootId'>;
/** A gateway's stable name: the name of its pod. */
export type GatewayName = Brand<string, 'GatewayName'>;

/** The topic that every session of an app hears without subscribing. */
export const TOPIC_ALL = '$all' as TopicName;

const APP = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:~@/-]{0,127}$/;
const MESSAGE_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** What a bad name is answered with: the field's path, what was expected, what came. */
export class InvalidNameError extends Error {
  readonly code = 'invalid-name';
  readonly field: string;
  constructor(field: string, expected: string, got: unknown) {
    super(`${field}: expected ${expected}, got ${describe(got)}`);
    this.field = field;
  }
}

function describe(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : typeof value;
  return value.length > 40
    ? `${JSON.stringify(value.slice(0, 40))}… (${value.length} characters)`
    : JSON.stringify(value);
}

const NAME_RULE = '1–128 characters of letters, digits and . _ : ~ @ / -, starting with a letter or digit';

/** Text to app id; throws InvalidNameError. */
export function parseAppId(value: unknown, field = 'app'): AppId {
  if (typeof value === 'string' && APP.test(value)) return value as AppId;
  throw new InvalidNameError(field, 'a DNS label (1–63 of a–z, 0–9 and -)', value);
}

/** Text to account id; throws InvalidNameError. */
export function parseAccountId(value: unknown, field = 'account'): AccountId {
  if (typeof value === 'string' && NAME.test(value)) return value as AccountId;
  throw new InvalidNameError(field, NAME_RULE, value);
}

/** Text to device id; throws InvalidNameError. */
export function parseDeviceId(value: unknown, field = 'device'): DeviceId {
  if (typeof value === 'string' && NAME.test(value)) return value as DeviceId;
  throw new InvalidNameError(field, NAME_RULE, value);
}

/** Text to topic name; `$all` is taken only where `allowAll` says so; throws InvalidNameError. */
export function parseTopicName(value: unknown, field = 'topic', allowAll = false): TopicName {
  if (typeof value === 'string' && (NAME.test(value) || (allowAll && value === TOPIC_ALL))) return value as TopicName;
  throw new InvalidNameError(field, NAME_RULE, value);
}

/** Text to the name of a group, by the rule of accounts and devices; throws InvalidNameError. */
export function parseGroupName(value: unknown, field = 'group'): string {
  if (typeof value === 'string' && NAME.test(value)) return value;
  throw new InvalidNameError(field, NAME_RULE, value);
}

/** Text to message id; throws InvalidNameError. */
export function parseMessageId(value: unknown, field = 'id'): MessageId {
  if (typeof value === 'string' && MESSAGE_ID.test(value)) return value as MessageId;
  throw new InvalidNameError(field, '26 characters of Crockford base32', value);
}

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * Makes a message id that sorts by time.
 * @param nowMs 0 … 2^48-1, milliseconds since 1970
 * @param random at least 10 random bytes; the first 10 are used
 */
export function messageIdAt(nowMs: number, random: Uint8Array): MessageId {
  let time = '';
  for (let rest = nowMs, i = 0; i < 10; i++) {
    time = ALPHABET[rest % 32] + time;
    rest = Math.floor(rest / 32);
  }
  let tail = '';
  let bits = 0;
  let held = 0;
  for (let i = 0; i < 10; i++) {
    held = ((held << 8) | random[i]!) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      tail += ALPHABET[(held >> bits) & 31];
    }
  }
  return (time + tail) as MessageId;
}

/** When the id was made: ms since 1970, by the clock of whoever made it. */
export function messageIdTimeMs(id: MessageId): number {
  let ms = 0;
  for (let i = 0; i < 10; i++) ms = ms * 32 + ALPHABET.indexOf(id[i]!);
  return ms;
}
