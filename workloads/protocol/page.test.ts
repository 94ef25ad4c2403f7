import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PROTOCOL_VERSION, SUBPROTOCOL_JSON } from './frames.ts';
import { decodeClientFrame } from './json-codec.ts';
import { LIMITS } from './limits.ts';
import { FRAME_FIELDS, protocolExamples, renderCloseTable, renderErrorTable, renderLimitTable } from './page.ts';

const PAGE = readFileSync(new URL('README.md', import.meta.url), 'utf8');
const EXAMPLES = [...protocolExamples(PAGE)];

test('every frame has an example, under its own name', () => {
  const shown = new Set(EXAMPLES.map(({ frame }) => String(frame['type'])));
  assert.deepEqual([...shown].sort(), Object.keys(FRAME_FIELDS).sort());
  for (const { name, frame } of EXAMPLES) assert.equal(name.split(' ')[0], frame['type']);
});

test('examples have the fields of their frame: all that are required, none that is unknown', () => {
  for (const { name, frame } of EXAMPLES) {
    const fields: Readonly<Record<string, string>> = FRAME_FIELDS[frame['type'] as keyof typeof FRAME_FIELDS];
    for (const field of Object.keys(frame)) assert.ok(field === 'type' || field in fields, `${name}: unknown ${field}`);
    for (const [field, need] of Object.entries(fields))
      assert.ok(need === 'optional' || field in frame, `${name}: ${field} is missing`);
  }
});

test('every field is shown in at least one example', () => {
  for (const [type, fields] of Object.entries(FRAME_FIELDS))
    for (const field of Object.keys(fields))
      assert.ok(
        EXAMPLES.some(({ frame }) => frame['type'] === type && field in frame),
        `${type}.${field}`,
      );
});

for (const { name, direction, frame } of EXAMPLES) {
  if (direction !== 'client') continue;
  test(`the gateway's codec reads the example of ${name} as it stands`, () => {
    assert.deepEqual(decodeClientFrame(JSON.stringify(frame)), frame);
  });
}

test('the tables of the page are those of the code', () => {
  for (const table of [renderCloseTable(), renderErrorTable(), renderLimitTable()])
    assert.ok(PAGE.includes(`\n${table}\n`), `expected in README.md:\n${table}`);
});

test('version, subprotocol and numbers in the text are those of the code', () => {
  assert.equal(PROTOCOL_VERSION, 1);
  assert.ok(PAGE.includes(`\`${SUBPROTOCOL_JSON}\``));
  assert.equal(LIMITS.positionsPerFrameMax, 256, 'the text names it');
});
