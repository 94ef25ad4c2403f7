import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import type { SymmetricKey } from '../protocol/credentials.ts';
import { aLinkKey } from './fixtures.ts';
import { NONCE_BYTES, clientHandshake, serverHandshake } from './handshake.ts';
import type { HandshakeStep } from './handshake.ts';

const ROUTER = { role: 'router', name: 'router-1' } as const;
const GATEWAY = { role: 'gateway', name: 'gw-0' } as const;

interface Wire {
  readonly hello: Buffer;
  readonly challenge: HandshakeStep;
  readonly proof?: HandshakeStep;
  readonly accepted?: HandshakeStep;
  readonly ready?: HandshakeStep;
}

/** Both sides spoken through as far as it goes; `bend` may change the bytes on the wire. */
function shake(options: {
  client: readonly SymmetricKey[];
  server: readonly SymmetricKey[];
  expectName?: string;
  bend?: (step: 'hello' | 'challenge' | 'proof', bytes: Buffer) => Buffer;
}): Wire {
  const bend = options.bend ?? ((_, bytes) => bytes);
  const { expectName } = options;
  const client = clientHandshake({
    identity: ROUTER,
    keys: options.client,
    nonce: randomBytes(NONCE_BYTES),
    ...(expectName === undefined ? {} : { expectName }),
  });
  const server = serverHandshake({ identity: GATEWAY, keys: options.server, nonce: randomBytes(NONCE_BYTES) });
  const hello = bend('hello', client.hello.subarray(4));
  const challenge = server.step(hello);
  if (challenge.kind !== 'send') return { hello, challenge };
  const proof = client.step(bend('challenge', challenge.bytes.subarray(4)));
  if (proof.kind !== 'send') return { hello, challenge, proof };
  const accepted = server.step(bend('proof', proof.bytes.subarray(4)));
  if (accepted.kind !== 'done') return { hello, challenge, proof, accepted };
  return { hello, challenge, proof, accepted, ready: client.step(accepted.bytes.subarray(4)) };
}
function reasonOf(step: HandshakeStep | undefined): string {
  assert.ok(step !== undefined);
  return step.kind === 'refused' ? step.reason : step.kind;
}

test('both ends come to know each other by role and name', () => {
  const key = aLinkKey();
  const wire = shake({ client: [key], server: [key] });
  assert.deepEqual(wire.accepted?.kind === 'done' && wire.accepted.peer, ROUTER);
  assert.deepEqual(wire.ready?.kind === 'done' && wire.ready.peer, GATEWAY);
});

test('any key that both hold will do while a rotation has reached only one of them', () => {
  const [older, newer] = [aLinkKey('old'), aLinkKey('new')];
  for (const [client, server] of [
    [[newer, older], [older]],
    [[older], [newer, older]],
    [
      [newer, older],
      [newer, older],
    ],
  ] as const)
    assert.equal(reasonOf(shake({ client, server }).ready), 'done');
});

test('another key of the same id is refused by the client, which then proves nothing', () => {
  const wire = shake({ client: [aLinkKey('k')], server: [aLinkKey('k')] });
  assert.equal(reasonOf(wire.proof), 'wrong-key');
  assert.equal(wire.proof?.kind === 'refused' && wire.proof.bytes.length, 0);
});

test('without a common key the server says nothing and refuses', () => {
  const wire = shake({ client: [aLinkKey('a')], server: [aLinkKey('b')] });
  assert.equal(reasonOf(wire.challenge), 'no-common-key');
  assert.equal(wire.challenge.kind === 'refused' && wire.challenge.bytes.length, 0);
  assert.equal(reasonOf(shake({ client: [], server: [] }).challenge), 'no-common-key');
});

test('a handshake recorded earlier is worth nothing: the nonce is new each time', () => {
  const key = aLinkKey();
  const recorded = shake({ client: [key], server: [key] });
  const server = serverHandshake({ identity: GATEWAY, keys: [key], nonce: randomBytes(NONCE_BYTES) });
  assert.equal(reasonOf(server.step(recorded.hello)), 'send');
  assert.ok(recorded.proof?.kind === 'send');
  assert.equal(reasonOf(server.step(recorded.proof.bytes.subarray(4))), 'wrong-key');
  const client = clientHandshake({ identity: ROUTER, keys: [key], nonce: randomBytes(NONCE_BYTES) });
  assert.ok(recorded.challenge.kind === 'send');
  assert.equal(reasonOf(client.step(recorded.challenge.bytes.subarray(4))), 'wrong-key');
});

test("the server's own MAC cannot be sent back to it as the client's proof", () => {
  const key = aLinkKey();
  const bend = (step: string, bytes: Buffer): Buffer => {
    if (step === 'challenge') mac = Buffer.from(bytes.subarray(-32));
    return step === 'proof' ? Buffer.concat([bytes.subarray(0, 1), mac]) : bytes;
  };
  let mac = Buffer.alloc(0);
  assert.equal(reasonOf(shake({ client: [key], server: [key], bend }).accepted), 'wrong-key');
});

test('another version is refused aloud, so that both ends can name it', () => {
  const key = aLinkKey();
  const bend = (step: string, bytes: Buffer): Buffer => {
    if (step === 'hello') bytes[1] = 9;
    return bytes;
  };
  const { challenge } = shake({ client: [key], server: [key], bend });
  assert.equal(reasonOf(challenge), 'version');
  const client = clientHandshake({ identity: ROUTER, keys: [key], nonce: randomBytes(NONCE_BYTES) });
  assert.ok(challenge.kind === 'refused');
  assert.equal(reasonOf(client.step(challenge.bytes.subarray(4))), 'version');
});

test('a peer of another name than the one meant is refused', () => {
  const key = aLinkKey();
  assert.equal(reasonOf(shake({ client: [key], server: [key], expectName: 'gw-0' }).ready), 'done');
  assert.equal(reasonOf(shake({ client: [key], server: [key], expectName: 'gw-1' }).proof), 'wrong-peer');
});

describe('bytes changed on the way', () => {
  test('never end in a link, at whatever byte', () => {
    const key = aLinkKey();
    for (const step of ['hello', 'challenge', 'proof'] as const) {
      let length = 1;
      for (let at = 0; at < length; at++) {
        const bend = (which: string, bytes: Buffer): Buffer => {
          if (which !== step) return bytes;
          length = bytes.length;
          const bent = Buffer.from(bytes);
          bent[at] = bent[at]! ^ 1;
          return bent;
        };
        const wire = shake({ client: [key], server: [key], bend });
        assert.equal(wire.ready, undefined, `${step} byte ${at}`);
      }
    }
  });
  test('cut short are malformed', () => {
    const key = aLinkKey();
    for (const length of [1, 2, 5, 20, 46])
      assert.equal(
        reasonOf(shake({ client: [key], server: [key], bend: (_, bytes) => bytes.subarray(0, length) }).challenge),
        'malformed',
      );
  });
});
