import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { KEY_FILES } from '../workloads/protocol/credentials.ts';
import { aManualClock } from '../workloads/runtime/clock.ts';
import { openKeys } from '../workloads/runtime/credentials.ts';
import { silentLog } from '../workloads/runtime/log.ts';
import { aKeyMaker, NOW_MS } from './fixtures.ts';
import { systemKeyMaker } from './key-maker.ts';
import { adminBearer, KEY_SPREAD_MS, nextKeyFiles } from './keys.ts';
import type { KeyFiles } from './keys.ts';

const HOUR = 3_600_000;
const at = (ms: number): Parameters<typeof nextKeyFiles>[1] => ({
  nowMs: NOW_MS + ms,
  rotationMs: 24 * HOUR,
  tokenTtlMs: HOUR,
  ticketTtlMs: 900_000,
});
const kids = (files: KeyFiles, file: string): string[] =>
  (JSON.parse(files[file] ?? '[]') as { kid: string }[]).map((key) => key.kid);

describe('nextKeyFiles', () => {
  it('makes what is missing, and then changes nothing', () => {
    const made = nextKeyFiles({}, at(0), aKeyMaker());
    assert.deepEqual(Object.keys(made.files).sort(), Object.values(KEY_FILES).sort());
    assert.equal(made.changes.length, 5);
    assert.deepEqual(nextKeyFiles(made.files, at(HOUR), aKeyMaker()), { files: made.files, changes: [] });
  });

  it('rotates so that a new key verifies everywhere before it signs, and an old one goes when nothing of it is good', () => {
    const maker = aKeyMaker();
    let { files } = nextKeyFiles({}, at(0), maker);
    const [old] = kids(files, KEY_FILES.ticket);
    const later = (ms: number): readonly string[] => {
      files = nextKeyFiles(files, at(ms), maker).files;
      return kids(files, KEY_FILES.ticket);
    };
    assert.deepEqual(later(24 * HOUR - 1), [old]);
    const [signer, fresh] = later(24 * HOUR);
    assert.equal(signer, old, 'the old one signs while the new one spreads');
    assert.deepEqual(later(24 * HOUR + KEY_SPREAD_MS - 1), [old, fresh]);
    assert.deepEqual(later(24 * HOUR + KEY_SPREAD_MS), [fresh, old], 'now the new one signs');
    assert.deepEqual(
      later(24 * HOUR + 2 * KEY_SPREAD_MS + 900_000 - 1),
      [fresh, old],
      'tickets of the old one are good',
    );
    assert.deepEqual(later(24 * HOUR + 2 * KEY_SPREAD_MS + 900_000), [fresh]);
  });

  it('never hands out a private part but in the private file', () => {
    const { files } = nextKeyFiles({}, at(0), systemKeyMaker);
    assert.match(files[KEY_FILES.tokenPrivate]!, /"d":/);
    assert.doesNotMatch(files[KEY_FILES.tokenPublic]!, /"d":|privateJwk/);
    assert.deepEqual(kids(files, KEY_FILES.tokenPublic), kids(files, KEY_FILES.tokenPrivate));
  });

  it('puts a public file right that was edited', () => {
    const { files } = nextKeyFiles({}, at(0), aKeyMaker());
    const next = nextKeyFiles({ ...files, [KEY_FILES.tokenPublic]: '[]' }, at(1), aKeyMaker());
    assert.deepEqual(next.files, files);
    assert.deepEqual(next.changes, [`${KEY_FILES.tokenPublic}: put right`]);
  });

  for (const spoilt of ['', 'no JSON', '{}', '[{}]', '[{"kid":"a","createdAt":"never","secret":"x"}]']) {
    it(`makes a list anew that holds ${JSON.stringify(spoilt)}`, () => {
      const { files } = nextKeyFiles({}, at(0), aKeyMaker());
      const next = nextKeyFiles({ ...files, [KEY_FILES.link]: spoilt }, at(1), aKeyMaker());
      assert.deepEqual(next.changes, [`${KEY_FILES.link}: made`]);
    });
  }

  it('makes files that roles can read', () => {
    const dir = mkdtempSync(join(tmpdir(), 'pushcluster-keys-'));
    try {
      for (const [name, text] of Object.entries(nextKeyFiles({}, at(0), systemKeyMaker).files))
        writeFileSync(join(dir, name), text);
      const keys = openKeys(dir, aManualClock(), silentLog);
      assert.equal(keys.current().tokenPrivate.length, 1);
      keys.stop();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('shows gateways the first admin key', () => {
    const { files } = nextKeyFiles({}, at(0), aKeyMaker());
    assert.equal(adminBearer(files), 'secret-4');
    assert.equal(adminBearer({}), null);
  });
});
