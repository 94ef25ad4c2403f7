// What sockets say of TLS, in words that name a setting; and what is left as it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainProblem, MISFIT } from './connect-problem.ts';

const problem = (code: string, more: object = {}): Error =>
  Object.assign(new Error('as OpenSSL has it'), { code }, more);

const misfits: readonly (readonly [string, RegExp, object?])[] = [
  ['SELF_SIGNED_CERT_IN_CHAIN', /PUSHCLUSTER_STORE_CA_FILE/],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /PUSHCLUSTER_STORE_CA_FILE/],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    /for 10\.0\.0\.1, .*IP: 10\.0\.0\.1 is not in .*PUSHCLUSTER_STORE_SERVER_NAME/,
    { host: '10.0.0.1', reason: "IP: 10.0.0.1 is not in the cert's list: " },
  ],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', /PUSHCLUSTER_STORE_CERTIFICATE_FILE/],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', /PUSHCLUSTER_STORE_KEY_FILE/],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED', /PUSHCLUSTER_STORE_CERTIFICATE_FILE/],
  ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', /PUSHCLUSTER_STORE_CERTIFICATE_FILE .*or no cipher in common/],
  ['ERR_SSL_WRONG_VERSION_NUMBER', /an address redis…/],
];
for (const [code, expected, more] of misfits)
  test(`${code} names the node and the setting`, () => {
    const said = problem(code, more);
    const { message, cause } = explainProblem(said, 'a:1');
    assert.ok(message.startsWith(`a:1: ${MISFIT} `), message);
    assert.match(message, expected);
    assert.equal(cause, said);
  });

for (const [code, expected] of [
  ['CERT_HAS_EXPIRED', /^a:1: TLS: its certificate is not valid now/],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', /^a:1: TLS: our certificate is not valid now .*_CERTIFICATE_FILE/],
] as const)
  test(`${code} says whose certificate's time is over, and is no misfit: waiting may mend it`, () => {
    const { message } = explainProblem(problem(code), 'a:1');
    assert.match(message, expected);
    assert.ok(!message.includes(MISFIT));
  });

for (const said of [problem('ECONNREFUSED'), new Error('WRONGPASS')])
  test(`leaves ${said.message} as it is`, () => assert.equal(explainProblem(said, 'a:1'), said));
