// How both ends of a link prove the link key before any frame passes: pure steps, bytes in and bytes out. server.ts and client.ts
// feed them. Four frames, each uint32 LE length + kind byte + body:
//   hello      client → server   version uint8 · role, name · nonce 32 · key ids it holds
//   challenge  server → client   version uint8 · role, name · nonce 32 · key id · MAC 32 over "server", hello and challenge
//   proof      client → server   MAC 32 over "client", hello and challenge, by the same key
//   ready      server → client   nothing: frames may follow
// The key is the server's newest that the client holds too, so that a rotation that has reached only one of them cuts no link.
// Whoever does not know it learns nothing but names; the one refusal said aloud is the version's.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SymmetricKey } from '../protocol/credentials.ts';
import { LinkFrameError } from './frame-kinds.ts';
import { PayloadReader } from './framer.ts';

export const LINK_VERSION = 1;
export const NONCE_BYTES = 32;
/** A frame's most bytes until the peer is known: two names of 128, a nonce and 8 key ids of 64 are about 900. */
export const HANDSHAKE_FRAME_BYTES_MAX = 2048;
/** Both ends give up after this. */
export const HANDSHAKE_TIMEOUT_MS = 5000;
const KEY_IDS_MAX = 8;
const NAME_BYTES_MAX = 128;
const MAC_BYTES = 32;

export type LinkRole = 'router' | 'gateway' | 'drainer' | 'upstream';
const ROLES = ['router', 'gateway', 'drainer', 'upstream'] as const satisfies readonly LinkRole[];

/** Who stands at one end of a link. */
export interface LinkIdentity {
  readonly role: LinkRole;
  readonly name: string;
}

/** Why a handshake ended without a link. `wrong-key` covers every proof that does not hold, a replayed one too. */
export type HandshakeRefusal = 'malformed' | 'version' | 'no-common-key' | 'wrong-key' | 'wrong-peer';

export type HandshakeStep =
  | { readonly kind: 'send'; readonly bytes: Buffer }
  /** The peer is known; `bytes` (empty for the client) still go out, then frames may follow. */
  | { readonly kind: 'done'; readonly peer: LinkIdentity; readonly bytes: Buffer }
  | { readonly kind: 'refused'; readonly reason: HandshakeRefusal; readonly bytes: Buffer };

export interface Handshake {
  /** Takes the next payload from the peer. */
  step(payload: Buffer): HandshakeStep;
}

export interface HandshakeOptions {
  readonly identity: LinkIdentity;
  /** Newest first. */
  readonly keys: readonly SymmetricKey[];
  /** NONCE_BYTES fresh random bytes. */
  readonly nonce: Uint8Array;
}

const HELLO = 64;
const CHALLENGE = 65;
const PROOF = 66;
const READY = 67;
const REFUSED = 68;
const NOTHING = Buffer.alloc(0);

/** The client's side. `hello` goes out first. `expectName`: the peer that is meant; another is refused. */
export function clientHandshake(options: HandshakeOptions & { expectName?: string }): Handshake & { hello: Buffer } {
  const keyIds = options.keys.slice(0, KEY_IDS_MAX).map((key) => key.kid);
  const hello = Buffer.concat([
    Buffer.from([HELLO, LINK_VERSION]),
    identityBytes(options.identity),
    options.nonce,
    Buffer.from([keyIds.length]),
    ...keyIds.map(textBytes),
  ]);
  let peer: LinkIdentity | null = null;
  const step = guarded((kind, reader, payload) => {
    if (kind === REFUSED) return refused('version');
    if (peer !== null) return kind === READY ? { kind: 'done', peer, bytes: NOTHING } : refused('malformed');
    if (kind !== CHALLENGE) return refused('malformed');
    if (reader.byte() !== LINK_VERSION) return refused('version');
    const server = readIdentity(reader);
    reader.bytes(NONCE_BYTES);
    const kid = reader.text();
    const signed = payload.subarray(0, reader.at);
    const key = options.keys.find((held) => held.kid === kid);
    if (key === undefined) return refused('no-common-key');
    if (!isMac(reader.bytes(MAC_BYTES), macOf(key, 'server', [hello, signed]))) return refused('wrong-key');
    if (options.expectName !== undefined && server.name !== options.expectName) return refused('wrong-peer');
    peer = server;
    return { kind: 'send', bytes: framed([Buffer.from([PROOF]), macOf(key, 'client', [hello, signed])]) };
  });
  return { hello: framed([hello]), step };
}

/** The server's side. */
export function serverHandshake(options: HandshakeOptions): Handshake {
  let said: { readonly peer: LinkIdentity; readonly proof: Buffer } | null = null;
  const step = guarded((kind, reader, payload) => {
    if (said !== null) {
      if (kind !== PROOF) return refused('malformed');
      if (!isMac(reader.bytes(MAC_BYTES), said.proof)) return refused('wrong-key');
      return { kind: 'done', peer: said.peer, bytes: framed([Buffer.from([READY])]) };
    }
    if (kind !== HELLO) return refused('malformed');
    if (reader.byte() !== LINK_VERSION)
      return { kind: 'refused', reason: 'version', bytes: framed([Buffer.from([REFUSED, LINK_VERSION])]) };
    const peer = readIdentity(reader);
    reader.bytes(NONCE_BYTES);
    const held = new Set(Array.from({ length: Math.min(reader.byte(), KEY_IDS_MAX) }, () => reader.text()));
    const key = options.keys.find((ours) => held.has(ours.kid));
    if (key === undefined) return refused('no-common-key');
    const signed = Buffer.concat([
      Buffer.from([CHALLENGE, LINK_VERSION]),
      identityBytes(options.identity),
      options.nonce,
      textBytes(key.kid),
    ]);
    const hello = Buffer.from(payload); // a copy: the chunk it lies in may be reused
    said = { peer, proof: macOf(key, 'client', [hello, signed]) };
    return { kind: 'send', bytes: framed([signed, macOf(key, 'server', [hello, signed])]) };
  });
  return { step };
}

function guarded(
  step: (kind: number, reader: PayloadReader, payload: Buffer) => HandshakeStep,
): (payload: Buffer) => HandshakeStep {
  return (payload) => {
    const reader = new PayloadReader(payload);
    try {
      return step(reader.byte(), reader, payload);
    } catch (error) {
      if (error instanceof RangeError || error instanceof LinkFrameError) return refused('malformed');
      throw error;
    }
  };
}

function refused(reason: HandshakeRefusal): HandshakeStep {
  return { kind: 'refused', reason, bytes: NOTHING };
}
function framed(parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(4);
  header.writeUInt32LE(body.length);
  return Buffer.concat([header, body]);
}
function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeUInt16LE(bytes.length);
  return Buffer.concat([length, bytes]);
}
function identityBytes(identity: LinkIdentity): Buffer {
  return Buffer.concat([Buffer.from([ROLES.indexOf(identity.role)]), textBytes(identity.name)]);
}
function readIdentity(reader: PayloadReader): LinkIdentity {
  const role = reader.choice(ROLES);
  const name = reader.text();
  if (name === '' || name.length > NAME_BYTES_MAX) throw new RangeError('name');
  return { role, name };
}
function macOf(key: SymmetricKey, side: 'client' | 'server', parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac('sha256', Buffer.from(key.secret, 'base64url')).update(`pushcluster link ${side}\0`);
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    mac.update(length).update(part); // lengths too: no two transcripts share their bytes
  }
  return mac.digest();
}
function isMac(got: Buffer, expected: Buffer): boolean {
  return got.length === expected.length && timingSafeEqual(got, expected);
}
