// What a push carries: body, text or bytes, and the attributes, as the bytes that records hold. request.ts calls it. A text with half of
// a surrogate pair is refused, not mended: it is no Unicode text, clients of many languages cannot read it, and a message that arrives
// other than it was sent helps nobody.
import { RefusedError } from '../../protocol/codes.ts';
import type { AccountId, DeviceId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Content } from '../../protocol/record.ts';
import { BODY_DEPTH_MAX, isDeeperThan } from './exact-json.ts';

export interface ContentJson {
  readonly body?: unknown;
  readonly text?: string;
  readonly bytes?: string;
}
export interface ParsedContent {
  readonly content: Content;
  readonly body: Uint8Array;
}
/** Who a message comes from, where a client sent it. */
export interface Origin {
  readonly account: AccountId;
  readonly device: DeviceId;
}

const CONTENTS = ['body', 'text', 'bytes'] as const;
const NOTHING = new Uint8Array(0);
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** @param field puts a name into words for errors. Throws RefusedError. */
export function parseContent(json: ContentJson, field: (name: string) => string): ParsedContent {
  if (CONTENTS.filter((name) => json[name] !== undefined).length !== 1)
    throw invalid(field('body'), 'expected exactly one of body, text and bytes');
  if (json.text !== undefined) {
    assertWellFormed(json.text, field('text'));
    return bounded('text', Buffer.from(json.text), field('text'));
  }
  if (json.bytes !== undefined) {
    const { bytes } = json;
    if (bytes.length % 4 !== 0 || !BASE64.test(bytes))
      throw invalid(field('bytes'), 'expected base64 with its padding');
    return bounded('bytes', Buffer.from(bytes, 'base64'), field('bytes'));
  }
  if (isDeeperThan(json.body, BODY_DEPTH_MAX))
    throw invalid(field('body'), `expected at most ${BODY_DEPTH_MAX} levels of lists and objects`);
  return bounded('json', jsonBytes(json.body, field('body')), field('body'));
}

/**
 * Attributes as the record's JSON text. The conflation key stands first (protocol/record.ts finds it there); `from` is ours to write:
 * senders cannot.
 */
export function parseAttributes(
  given: object | undefined,
  more: { readonly conflationKey: string | undefined; readonly from: Origin | null },
  field: string,
): Uint8Array {
  const { conflationKey, from } = more;
  if (given === undefined && conflationKey === undefined && from === null) return NOTHING;
  const attributes = {
    ...(conflationKey === undefined ? {} : { conflationKey }),
    ...(from === null ? {} : { from }),
    ...given,
  };
  const bytes = jsonBytes(attributes, field);
  if (bytes.length > LIMITS.attributesBytesMax) throw tooLarge(field, LIMITS.attributesBytesMax, bytes.length);
  return bytes;
}

/** Throws RefusedError for a text with half of a surrogate pair. */
export function assertWellFormed(text: string, field: string): void {
  if (!text.isWellFormed()) throw invalid(field, 'expected a Unicode text, got half of a surrogate pair');
}

/** JSON.stringify escapes what is no Unicode text, and only that, as \ud800–\udfff. */
function jsonBytes(value: unknown, field: string): Buffer {
  const text = JSON.stringify(value);
  if (text.includes('\\ud') && /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(text))
    throw invalid(field, 'expected Unicode texts, got half of a surrogate pair');
  return Buffer.from(text);
}

function bounded(content: Content, body: Buffer, field: string): ParsedContent {
  if (body.length <= LIMITS.bodyBytesMax) return { content, body };
  throw tooLarge(field, LIMITS.bodyBytesMax, body.length);
}

function invalid(field: string, problem: string): RefusedError {
  return new RefusedError('invalid-request', `${field}: ${problem}`, { field });
}
function tooLarge(field: string, most: number, got: number): RefusedError {
  return new RefusedError('too-large', `${field}: expected at most ${most} bytes, got ${got}`, { field });
}
