// Whom a TLS connection to Redis trusts and what it shows of itself: files of PEM, read again for each connection, so that a Secret
// that is renewed is followed without a restart. redis-store.ts makes one for an address rediss…; connectors.ts asks it for each socket.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { Log } from '../../runtime/log.ts';

/** Paths, and a name; empty: none. */
export interface TrustFiles {
  /** Certificates that sign the servers'; none: the public ones, as Node.js has them. */
  readonly caFile: string;
  /** Shown to servers that ask for a certificate (mutual TLS); both or neither. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Name that the servers' certificates must have; none: the host that each is reached at. */
  readonly serverName: string;
}

/** The public certificates, and nothing shown. */
export const PUBLIC_TRUST: TrustFiles = { caFile: '', certificateFile: '', keyFile: '', serverName: '' };

/** The TLS settings, or what their files hold, cannot be used; names the setting. */
export class StoreTrustError extends Error {
  readonly code = 'store-tls';
}

const SETTINGS = {
  caFile: 'PUSHCLUSTER_STORE_CA_FILE',
  certificateFile: 'PUSHCLUSTER_STORE_CERTIFICATE_FILE',
  keyFile: 'PUSHCLUSTER_STORE_KEY_FILE',
  serverName: 'PUSHCLUSTER_STORE_SERVER_NAME',
} as const;

/** Settings that only a TLS connection uses and that are set: without one they would be a promise that nobody keeps. */
export function settingsInVain(files: TrustFiles): readonly string[] {
  return (Object.keys(SETTINGS) as (keyof TrustFiles)[])
    .filter((name) => files[name] !== '')
    .map((name) => SETTINGS[name]);
}

export class Trust {
  readonly #files: TrustFiles;
  readonly #log: Log;
  #read: string;
  #context: SecureContext;
  #problem = '';

  /** Throws StoreTrustError. */
  constructor(files: TrustFiles, log: Log) {
    this.#files = files;
    this.#log = log;
    if ((files.certificateFile === '') !== (files.keyFile === ''))
      throw new StoreTrustError(`store: expected ${SETTINGS.certificateFile} and ${SETTINGS.keyFile}, or neither`);
    const pems = readPems(files);
    this.#read = JSON.stringify(pems);
    this.#context = contextOf(pems);
  }

  /** For tls.connect, beside host and port: the server's certificate is checked, and its name. */
  options(): { readonly secureContext: SecureContext; readonly servername?: string } {
    this.#readAgain();
    const { serverName } = this.#files;
    return { secureContext: this.#context, ...(serverName === '' ? {} : { servername: serverName }) };
  }

  /** Files that cannot be used now (half of a pair is renewed) leave what was read before. */
  #readAgain(): void {
    try {
      const pems = readPems(this.#files);
      const read = JSON.stringify(pems);
      if (read !== this.#read) this.#context = contextOf(pems);
      this.#problem = '';
      if (read === this.#read) return;
      this.#read = read;
      this.#log.info({}, 'store certificates read again');
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#problem)
        this.#log.warn({ error: message }, 'store certificates cannot be read again: those of before are used');
      this.#problem = message;
    }
  }
}

interface Pems {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

function readPems(files: TrustFiles): Pems {
  const pems = {
    ca: readPem(files, 'caFile'),
    cert: readPem(files, 'certificateFile'),
    key: readPem(files, 'keyFile'),
  };
  for (const [name, pem] of [
    ['caFile', pems.ca],
    ['certificateFile', pems.cert],
  ] as const)
    if (pem !== null && !isCertificate(pem))
      throw new StoreTrustError(`store: ${SETTINGS[name]}: expected certificates (PEM) in ${files[name]}`);
  return pems;
}

function readPem(files: TrustFiles, name: 'caFile' | 'certificateFile' | 'keyFile'): string | null {
  const path = files[name];
  if (path === '') return null;
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new StoreTrustError(`store: ${SETTINGS[name]}: cannot read the file ${JSON.stringify(path)}`, { cause });
  }
}

/** Without this a file without certificates would be taken, and nobody trusted. */
function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

function contextOf({ ca, cert, key }: Pems): SecureContext {
  try {
    return createSecureContext({
      ...(ca === null ? {} : { ca }),
      ...(cert === null || key === null ? {} : { cert, key }),
    });
  } catch (cause) {
    throw new StoreTrustError(
      `store: expected a key (PEM) in ${SETTINGS.keyFile} that belongs to the certificate in ${SETTINGS.certificateFile}: ${(cause as Error).message}`,
      { cause },
    );
  }
}
