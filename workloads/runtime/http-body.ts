// A request's body: read within its bound, then parsed as JSON with errors that say where. http.ts calls both.
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { RefusedError } from '../protocol/codes.ts';

const NOTHING = Buffer.alloc(0);
/** Of a body past its bound so much more is read and thrown away, so that the sender sees the answer instead of a reset. */
const OVERRUN_BYTES_MAX = 1024 * 1024;

/** Resolves with the whole body; rejects with RefusedError 'too-large' past `bytesMax`, or when it is cut short. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const { headers } = request;
  const declared = Number(headers['content-length'] ?? 0);
  if (declared > bytesMax + OVERRUN_BYTES_MAX) throw tooLarge(bytesMax, declared);
  if (declared === 0 && headers['transfer-encoding'] === undefined) return NOTHING;
  return await new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= bytesMax) chunks.push(chunk);
      else if (length <= bytesMax + OVERRUN_BYTES_MAX) chunks = [];
      else {
        request.pause();
        reject(tooLarge(bytesMax, length));
      }
    });
    request.on('end', () => {
      if (length > bytesMax) reject(tooLarge(bytesMax, length));
      else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length));
    });
    request.on('error', () => reject(cutShort()));
    request.on('close', () => {
      if (!request.complete) reject(cutShort()); // an error made for each good request too would cost 7 %
    });
  });
}

/** Bytes → JSON value; undefined for no bytes. Throws RefusedError. */
export function parseJsonBody(
  bytes: Buffer,
  headers: IncomingHttpHeaders,
  parse: (text: string) => unknown = JSON.parse,
): unknown {
  if (bytes.length === 0) return undefined;
  const type = headers['content-type'];
  if (type !== undefined && !/^application\/([\w.+-]+\+)?json\b/i.test(type))
    throw refused(`content-type: expected application/json, got ${type.slice(0, 60)}`, 'content-type');
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity')
    throw refused('content-encoding: expected none', 'content-encoding');
  if (!isUtf8(bytes)) throw refused('body: expected UTF-8');
  const text = bytes.toString('utf8');
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw refused(`body: expected JSON: ${whereOf(error, text)}`);
  }
}

/** V8 quotes the place or names its position, except where the text ends early. */
function whereOf(error: SyntaxError, text: string): string {
  if (error.message.startsWith('Unexpected end')) return `it ends early, after ${text.length} characters`;
  return error.message.slice(0, 160);
}

function refused(message: string, field = 'body'): RefusedError {
  return new RefusedError('invalid-request', message, { field });
}
function cutShort(): RefusedError {
  return refused('body: the connection closed before its end');
}
function tooLarge(bytesMax: number, got: number): RefusedError {
  return new RefusedError('too-large', `body: expected at most ${bytesMax} bytes, got ${got}`, { field: 'body' });
}
