// Files of PEM that change while they are in use; what is refused at the start is in redis-tls.test.ts, with the connections.
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TestCertificates } from './test-certificates.ts';
import { PUBLIC_TRUST, Trust } from './trust.ts';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { silentLog } from '../../runtime/log.ts';

const files = new TestCertificates(findPart('openssl') ?? 'openssl');
after(() => files.remove());

test(
  'a fault of a file is warned of once, and again when it comes back',
  { skip: missingPart('openssl') ?? false },
  () => {
    const { ca } = files.authority('ours');
    const caFile = join(files.dir, 'used.crt');
    copyFileSync(ca, caFile);
    let warned = 0;
    const trust = new Trust({ ...PUBLIC_TRUST, caFile }, { ...silentLog, warn: () => void warned++ });
    const first = trust.options().secureContext;
    for (const expected of [1, 2]) {
      writeFileSync(caFile, 'half of a fi');
      trust.options();
      assert.equal(trust.options().secureContext, first);
      assert.equal(warned, expected);
      copyFileSync(ca, caFile);
      assert.equal(trust.options().secureContext, first, 'it is what was read before');
    }
  },
);
