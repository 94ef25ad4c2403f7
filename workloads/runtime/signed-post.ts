// A signed HTTP POST: the body as it is, with the header
//   pushcluster-signature: t=<ms since 1970>,kid=<key id>,v1=<base64url of Ed25519 over "<t>.<body>">
// whose public keys a router serves at GET /v1/keys. Redirects are not followed, answers are read within a bound, and addresses that are
// not public are refused at the moment of connecting unless that is allowed. Upstream's webhook handler calls it.
import { lookup } from 'node:dns';
import { request as requestPlain } from 'node:http';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as requestTls } from 'node:https';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { sign } from 'node:crypto';
import type { SigningKey } from '../protocol/credentials.ts';
import type { Clock } from './clock.ts';
import { privateKeyOf } from './key-files.ts';
import { isPublicAddress } from './public-address.ts';

export const SIGNATURE_HEADER = 'pushcluster-signature';

export interface SignedPost {
  readonly url: string;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}
export interface PostAnswer {
  readonly status: number;
  /** Of Retry-After in seconds; null: none. */
  readonly retryAfterMs: number | null;
}
export interface PosterOptions {
  /** Newest first; the first signs. Asked for each post: keys rotate. */
  readonly keys: () => readonly SigningKey[];
  readonly allowPrivate: boolean;
  readonly clock: Clock;
}
export type Poster = (post: SignedPost) => Promise<PostAnswer>;

/** It could not be posted: `timeout` the outcome is unknown, `address` is not allowed, `network` everything else. */
export class PostError extends Error {
  readonly code: 'timeout' | 'address' | 'network' | 'no-key';
  constructor(code: PostError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** More of an answer is not read. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** Rejects with PostError. */
export function openPoster(options: PosterOptions): Poster {
  return (post) => send(options, post);
}

/** The header's value for a body at a time. Throws PostError without a key. */
export function signatureOf(body: Uint8Array, keys: readonly SigningKey[], nowMs: number): string {
  const [key] = keys;
  if (key === undefined) throw new PostError('no-key', 'expected a key to sign with, got none');
  const signed = sign(null, Buffer.concat([Buffer.from(`${nowMs}.`), body]), privateKeyOf(key));
  return `t=${nowMs},kid=${key.kid},v1=${signed.toString('base64url')}`;
}

async function send(options: PosterOptions, post: SignedPost): Promise<PostAnswer> {
  const { clock, keys, allowPrivate } = options;
  const url = URL.parse(post.url);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new PostError('address', `expected an http or https URL, got ${post.url.slice(0, 100)}`);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (!allowPrivate && isIP(host) !== 0 && !isPublicAddress(host)) throw notAllowed(host);
  const { promise, resolve, reject } = Promise.withResolvers<PostAnswer>();
  const how: RequestOptions = {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'content-length': post.body.length,
      [SIGNATURE_HEADER]: signatureOf(post.body, keys(), clock.nowMs()),
      ...post.headers,
    },
    ...(allowPrivate ? {} : { lookup: lookupPublic }),
  };
  const request = (url.protocol === 'https:' ? requestTls : requestPlain)(url, how);
  const cancel = clock.after(post.timeoutMs, () =>
    request.destroy(new PostError('timeout', `expected an answer within ${post.timeoutMs} ms`)),
  );
  request.once('error', (error) => reject(error instanceof PostError ? error : ofNetwork(error)));
  request.once('response', (response) => drain(response, resolve));
  request.end(post.body);
  try {
    return await promise;
  } finally {
    cancel();
  }
}

/** Only the status counts; the rest is read so that the connection can be used again. */
function drain(response: IncomingMessage, resolve: (answer: PostAnswer) => void): void {
  let bytes = 0;
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  const answer = {
    status: response.statusCode ?? 0,
    retryAfterMs: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null,
  };
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) response.destroy();
  });
  response.once('close', () => resolve(answer));
}

/** As dns.lookup, without addresses that are not public; a name that has none else is refused. */
const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, found) => {
    if (error !== null) return callback(error, []);
    const open = found.filter(({ address }) => isPublicAddress(address));
    const [first] = open;
    if (first === undefined) return callback(notAllowed(hostname), []);
    if (options.all === true) callback(null, open);
    else callback(null, first.address, first.family);
  });
};

function notAllowed(host: string): PostError {
  return new PostError('address', `${host}: expected a public address`);
}
function ofNetwork(error: Error): PostError {
  return new PostError('network', error.message === '' ? error.name : error.message, error);
}
