// JSON text → value without losing digits: a body is handed on as it was meant, also where a number does not fit a double
// (12345678901234567890, 0.10000000000000000555). Such numbers become JSON.rawJSON, which JSON.stringify writes as they came.
import { LIMITS } from '../../protocol/limits.ts';

interface RawJson {
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
}
const json = JSON as unknown as RawJson;

/** Values of a body may be nested this deep; JSON.stringify and clients' parsers recurse. */
export const BODY_DEPTH_MAX = LIMITS.bodyDepthMax;
/** Only a text with one of these can hold a number that a double loses; the others take the fast path (20 times faster). */
const SUSPECT = /\d{16}|\d[eE]|\d\.\d*\d{15}/;
const SIGNIFICANT_DIGITS_MAX = 15;

/** Throws SyntaxError; nesting that overflows the parser's stack is one too. */
export function parseExactJson(text: string): unknown {
  if (!SUSPECT.test(text) || !SUSPECT.test(outsideStrings(text))) return JSON.parse(text);
  try {
    return json.parse(text, (_key, value, { source }) =>
      typeof value === 'number' && source !== undefined && !isExact(source, value) ? json.rawJSON(source) : value,
    );
  } catch (error) {
    if (error instanceof RangeError) throw new SyntaxError('nested too deep', { cause: error });
    throw error;
  }
}

/** The text without what stands in its strings: names and order numbers are long rows of digits, and no numbers. Cost: O(length). */
function outsideStrings(text: string): string {
  let outside = '';
  for (let at = 0; ;) {
    const open = text.indexOf('"', at);
    if (open === -1) return outside + text.slice(at);
    outside += text.slice(at, open);
    at = endOfString(text, open + 1);
  }
}
/** The place after the quote that closes the string; the end of the text where none does. */
function endOfString(text: string, from: number): number {
  for (let at = from; ;) {
    const close = text.indexOf('"', at);
    if (close === -1) return text.length;
    let escapes = 0;
    while (text.charCodeAt(close - 1 - escapes) === 92) escapes++;
    if (escapes % 2 === 0) return close + 1;
    at = close + 1;
  }
}

function isExact(source: string, value: number): boolean {
  if (String(value) === source) return true;
  if (/^-?\d+$/.test(source)) return Number.isSafeInteger(value);
  const digits = source
    .replace(/[eE].*$/, '')
    .replaceAll(/[-.]/g, '')
    .replace(/^0+/, '');
  return digits.length <= SIGNIFICANT_DIGITS_MAX && Number.isFinite(value) && (value !== 0 || digits === '');
}

/** Whether objects and lists are nested deeper than `depthMax`. Cost: O(values). */
export function isDeeperThan(value: unknown, depthMax: number): boolean {
  if (typeof value !== 'object' || value === null || json.isRawJSON(value)) return false;
  if (depthMax === 0) return true;
  const inside: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return inside.some((item) => isDeeperThan(item, depthMax - 1));
}
