// Makes certificates for the tests of TLS: authorities of their own, each of which signs what it is asked for. Made anew for each run in
// a temporary folder; elliptic keys, since they take milliseconds.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerTls } from './test-server.ts';

export interface TestAuthority {
  readonly ca: string;
  /** @param names as subjectAltName has them, like `DNS:localhost,IP:127.0.0.1` */
  sign(file: string, names: string): ServerTls;
  /** For the same key a certificate whose time was over a day ago. */
  expire(tls: ServerTls): ServerTls;
}

export class TestCertificates {
  readonly dir = mkdtempSync(join(tmpdir(), 'pushcluster-tls-'));
  readonly #openssl: string;

  /** @param openssl findPart('openssl') of e2e/setup/parts.ts */
  constructor(openssl: string) {
    this.#openssl = openssl;
  }

  authority(name: string): TestAuthority {
    const [ca, caKey] = [join(this.dir, `${name}.crt`), join(this.dir, `${name}.key`)];
    this.#request(['-subj', `/CN=${name}`, '-keyout', caKey, '-out', ca]);
    return {
      ca,
      sign: (file, names) => {
        const [cert, key] = [join(this.dir, `${file}.crt`), join(this.dir, `${file}.key`)];
        const signed = ['-CA', ca, '-CAkey', caKey, '-addext', 'basicConstraints=critical,CA:FALSE'];
        this.#request([
          '-subj',
          `/CN=${file}`,
          '-addext',
          `subjectAltName=${names}`,
          ...signed,
          '-keyout',
          key,
          '-out',
          cert,
        ]);
        return { ca, cert, key };
      },
      expire: ({ cert, key }) => {
        const [request, over] = [`${cert}.csr`, `${cert}.over`];
        this.#run(['req', '-new', '-key', key, '-subj', '/CN=over', '-out', request]);
        const signed = ['-req', '-CA', ca, '-CAkey', caKey, '-set_serial', '2', '-days', '-1'];
        this.#run(['x509', ...signed, '-in', request, '-out', over]);
        return { ca, cert: over, key };
      },
    };
  }

  #request(words: readonly string[]): void {
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    this.#run(['req', '-x509', ...kind, ...words]);
  }

  #run(words: readonly string[]): void {
    const made = spawnSync(this.#openssl, words, { encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
