// Settings of the store, for every role: where it is, who we are there, and whom we trust.
import { integer, text } from './setting.ts';

export const storeSettings = {
  store: text(
    'PUSHCLUSTER_STORE',
    'The store: redis://host:port, redis+cluster://h1:p1,h2:p2, redis+sentinel://h1:p1,h2:p2/master-name, each with rediss in place of redis for TLS, or sqlite:/path/to/file.',
  ),
  storeUsername: text('PUSHCLUSTER_STORE_USERNAME', 'User of the store (ACL); empty: the default one.', ''),
  storePassword: text('PUSHCLUSTER_STORE_PASSWORD', 'Password of the store; empty: none.', ''),
  storeTimeoutMs: integer(
    'PUSHCLUSTER_STORE_TIMEOUT_MS',
    'A command of the store that takes longer has failed, outcome unknown.',
    { fallback: 2000, min: 50, max: 60_000 },
  ),
  storeCaFile: text(
    'PUSHCLUSTER_STORE_CA_FILE',
    'File with the certificates that sign the store’s, PEM; this and the next two are read again for each connection. Empty: the public ones.',
    '',
  ),
  storeCertificateFile: text(
    'PUSHCLUSTER_STORE_CERTIFICATE_FILE',
    'File with the certificate shown to a store that asks for one, PEM; empty: none.',
    '',
  ),
  storeKeyFile: text('PUSHCLUSTER_STORE_KEY_FILE', 'File with the key of that certificate, PEM.', ''),
  storeServerName: text(
    'PUSHCLUSTER_STORE_SERVER_NAME',
    'Name that the store’s certificates must have; empty: the host that each server is reached at.',
    '',
  ),
} as const;
