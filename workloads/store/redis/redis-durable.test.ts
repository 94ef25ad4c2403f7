// A real Redis with appendfsync always: killed with -9 and restarted, it has lost nothing that was acknowledged, and streams go on
// in their epochs. The rest of the contract does not depend on persistence and is in redis-store.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onDurableRedis } from './contract-setup.ts';
import { endingsContract } from '../contract-endings.ts';
import { epochsContract } from '../contract-epochs.ts';
import { jobsContract } from '../contract-jobs.ts';
import { anAppend, appended, topic } from '../contract-subject.ts';
import type { StoreSubject } from '../contract-subject.ts';
import { LIMITS } from '../../protocol/limits.ts';

const sections = (subject: StoreSubject): void => {
  theSubject = subject;
  epochsContract(subject);
  endingsContract(subject);
  jobsContract(subject);
};
let theSubject: StoreSubject;
/** Appended between two kills, at most. */
const WRITES_MAX = LIMITS.topicStreamEntriesMax / 4;

onDurableRedis(sections, (theRedis) => {
  test('killed three times under load, no acknowledged append is lost or doubled, and no epoch changes', async () => {
    const { store, crash, close } = await theSubject.open();
    const acked = new Map<string, { epoch: string; offset: number }>();
    let stop = false;
    // The stream has to hold them all, however long a restart takes.
    let untilSize = 0;
    const writer = async (): Promise<void> => {
      while (!stop) {
        if (acked.size >= untilSize) {
          await new Promise((resolve) => setTimeout(resolve, 2));
          continue;
        }
        const append = anAppend(topic('busy'), 'x'.repeat(100));
        for (let told = false; !told && !stop;) {
          try {
            const { epoch, offset } = appended((await store.append([append]))[0]);
            acked.set(append.messageId, { epoch, offset });
            told = true;
          } catch {
            await new Promise((resolve) => setTimeout(resolve, 5)); // unknown outcome: the same id again
          }
        }
      }
    };
    const writers = Array.from({ length: 8 }, writer);
    for (let kills = 0; kills < 3; kills++) {
      const before = acked.size;
      untilSize = before + WRITES_MAX;
      while (acked.size < before + 100) await new Promise((resolve) => setTimeout(resolve, 2));
      await crash!();
      // The next crash meets a rewritten file.
      await theRedis().command('BGREWRITEAOF');
    }
    stop = true;
    await Promise.all(writers);
    const offsets = [...acked.values()].map(({ offset }) => offset);
    assert.equal(new Set(offsets).size, acked.size, 'no two messages share an offset');
    assert.equal(new Set([...acked.values()].map(({ epoch }) => epoch)).size, 1);
    const stored = new Set<number>();
    for (let offset = 0, complete = false; !complete;) {
      const after = { epoch: [...acked.values()][0]!.epoch as never, offset };
      const [page] = await store.read([{ stream: topic('busy'), after, entriesMax: 500 }]);
      for (const entry of page!.entries) stored.add(entry.offset);
      offset = page!.entries.at(-1)?.offset ?? offset;
      complete = page!.complete;
    }
    assert.deepEqual(
      offsets.filter((offset) => !stored.has(offset)),
      [],
      'lost',
    );
    await close();
  });
});
