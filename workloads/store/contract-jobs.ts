// Contract of the store port: jobs that some role does later, once, whoever of them lives (R10), and the leases by which routers and
// drainers are found.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APP, boot, withStore } from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { Job, RoleLease } from './port.ts';
import type { AppId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';

export function jobsContract(subject: StoreSubject): void {
  claimsContract(subject);
  delayContract(subject);
  roleLeasesContract(subject);
}

function aJob(id: string, dueAtMs: number, more: Partial<Job> = {}): Job {
  return { id, app: APP, kind: 'send', dueAtMs, claims: 0, payload: Buffer.from(`do ${id}`), ...more };
}
const idsOf = (jobs: readonly Job[]): string[] => jobs.map(({ id }) => id).toSorted();

function claimsContract(subject: StoreSubject): void {
  test('a job is claimed once it is due, whole, with how often it was claimed before', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      const payload = Uint8Array.of(0, 255, 13, 10);
      const [soon, later] = [aJob('soon', nowMs() - 5, { kind: 'expand', payload }), aJob('later', nowMs() + 300)];
      await store.putJobs([soon, later]);
      const claimed = await store.claimJobs(10, 60_000);
      assert.deepEqual(
        claimed.map((job) => ({ ...job, payload: Buffer.from(job.payload).toString('hex') })),
        [{ ...soon, payload: '00ff0d0a' }],
      );
      assert.deepEqual(await store.claimJobs(10, 60_000), []);
      await advance(350);
      assert.deepEqual(idsOf(await store.claimJobs(10, 60_000)), ['later']);
      assert.equal(await store.countJobs(), 2, 'claimed ones are there until they are finished');
    }));

  test('a job whose claim ran out is claimed again', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await store.putJobs([aJob('a', nowMs())]);
      assert.deepEqual(
        (await store.claimJobs(10, 300)).map(({ claims }) => claims),
        [0],
      );
      await advance(50);
      assert.deepEqual(await store.claimJobs(10, 300), []);
      await advance(300);
      assert.deepEqual(
        (await store.claimJobs(10, 300)).map(({ id, claims }) => [id, claims]),
        [['a', 1]],
      );
    }));

  test('a job that is finished is gone; finishing again changes nothing', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await store.putJobs([aJob('a', nowMs()), aJob('b', nowMs())]);
      await store.claimJobs(1, 100);
      await store.finishJobs([{ app: APP, id: 'a' }]);
      await store.finishJobs([
        { app: APP, id: 'a' },
        { app: APP, id: 'never' },
      ]);
      await advance(150);
      assert.deepEqual(idsOf(await store.claimJobs(10, 100)), ['b']);
      assert.equal(await store.countJobs(), 1);
    }));

  test('putting an id that is there already changes nothing; other apps have ids of their own', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      await store.putJobs([aJob('a', nowMs(), { payload: Buffer.from('first') })]);
      await store.putJobs([
        aJob('a', nowMs() - 9, { payload: Buffer.from('second'), kind: 'notice' }),
        aJob('a', nowMs(), { app: 'other' as AppId }),
      ]);
      const claimed = await store.claimJobs(10, 1000);
      assert.deepEqual(claimed.map((job) => `${job.app} ${Buffer.from(job.payload).toString()}`).toSorted(), [
        'other do a',
        'shop first',
      ]);
    }));

  test('notices wait in a queue of their own: they hold up no work, and are counted with it', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      const notices = Array.from({ length: 20 }, (_, i) => aJob(`notice-${i}`, nowMs() - 100, { kind: 'notice' }));
      await store.putJobs([...notices, aJob('a', nowMs())]);
      assert.deepEqual(idsOf(await store.claimJobs(1, 60_000)), ['a']);
      assert.deepEqual(idsOf(await store.claimJobs(50, 60_000, 'notices')), idsOf(notices));
      assert.equal(await store.countJobs(), 21);
      const [first, second] = notices as [Job, Job];
      await store.delayJob(first, nowMs() - 1, Buffer.from('again'));
      await store.finishJobs([second]);
      await advance(10);
      const [again] = await store.claimJobs(50, 60_000, 'notices');
      assert.deepEqual([again?.id, Buffer.from(again!.payload).toString()], ['notice-0', 'again']);
      assert.equal(await store.countJobs(), 20);
    }));

  test('spans wait in a queue of their own: whoever asks for few of them leaves the others', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      const spans = Array.from({ length: 6 }, (_, i) => aJob(`span-${i}`, nowMs(), { kind: 'span' }));
      await store.putJobs([...spans, aJob('a', nowMs()), aJob('n', nowMs(), { kind: 'notice' })]);
      await store.putJobs([spans[0]!]);
      const claimed = await store.claimJobs(2, 60_000, 'spans');
      assert.deepEqual([claimed.length, claimed.map(({ kind }) => kind)], [2, ['span', 'span']]);
      assert.deepEqual(idsOf(await store.claimJobs(50, 60_000)), ['a']);
      assert.deepEqual(idsOf(await store.claimJobs(50, 60_000, 'notices')), ['n']);
      assert.deepEqual(idsOf([...claimed, ...(await store.claimJobs(50, 60_000, 'spans'))]), idsOf(spans));
      await store.delayJob(claimed[0]!, nowMs() - 1);
      await store.finishJobs([claimed[1]!]);
      assert.deepEqual(idsOf(await store.claimJobs(50, 60_000, 'spans')), [claimed[0]!.id]);
      assert.equal(await store.countJobs(), 7);
    }));

  test('of many that claim at once, each job goes to one, at most as many as asked', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      const jobs = Array.from({ length: 60 }, (_, i) => aJob(`job/${i} ä`, nowMs()));
      await store.putJobs(jobs);
      const claims = await Promise.all(Array.from({ length: 10 }, () => store.claimJobs(7, 60_000)));
      for (const claimed of claims) assert.ok(claimed.length <= 7);
      const all = idsOf(claims.flat());
      assert.equal(new Set(all).size, all.length, 'none twice');
      const rest = [];
      for (let more = await store.claimJobs(50, 60_000); more.length > 0; more = await store.claimJobs(50, 60_000))
        rest.push(...more);
      assert.deepEqual([...all, ...idsOf(rest)].toSorted(), idsOf(jobs));
    }));

  test('an id has 1 to 128 characters, a payload at most so many bytes', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      const payload = new Uint8Array(LIMITS.jobBytesMax).fill(7);
      await store.putJobs([aJob('x'.repeat(128), nowMs(), { payload })]);
      const [claimed] = await store.claimJobs(1, 1000);
      assert.equal(claimed!.payload.length, payload.length);
      const more = new Uint8Array(LIMITS.jobBytesMax + 1);
      await assert.rejects(store.putJobs([aJob('a', nowMs(), { payload: more })]), RangeError);
      for (const id of ['', 'x'.repeat(129)]) await assert.rejects(store.putJobs([aJob(id, nowMs())]), RangeError);
      await assert.rejects(store.delayJob({ app: APP, id: 'x'.repeat(128) }, nowMs(), more), RangeError);
      assert.equal(await store.countJobs(), 1);
    }));

  if (subject.hooks.includes('crash'))
    test('jobs and their claims survive a crash', () =>
      withStore(subject, {}, async (under) => {
        await under.store.putJobs([aJob('a', under.nowMs()), aJob('b', under.nowMs() + 60_000)]);
        await under.store.claimJobs(10, 60_000);
        await under.crash!();
        assert.deepEqual([await under.store.claimJobs(10, 1000), await under.store.countJobs()], [[], 2]);
      }));
}

function delayContract(subject: StoreSubject): void {
  test('a job put off is due again then, unclaimed, with its claims and, if given, another payload', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await store.putJobs([aJob('a', nowMs()), aJob('b', nowMs())]);
      await store.claimJobs(10, 60_000);
      const dueAtMs = nowMs() + 300;
      await store.delayJob({ app: APP, id: 'a' }, dueAtMs, Buffer.from('go on at 5'));
      await store.delayJob({ app: APP, id: 'b' }, nowMs() - 1);
      await store.delayJob({ app: APP, id: 'never' }, nowMs() - 1);
      assert.deepEqual(
        (await store.claimJobs(10, 60_000)).map((job) => [job.id, job.claims, Buffer.from(job.payload).toString()]),
        [['b', 1, 'do b']],
      );
      await advance(350);
      assert.deepEqual(
        (await store.claimJobs(10, 60_000)).map((job) => [job.id, job.claims, Buffer.from(job.payload).toString()]),
        [['a', 1, 'go on at 5']],
      );
    }));
}

function roleLeasesContract(subject: StoreSubject): void {
  const aLease = (bootId: string, more: Partial<RoleLease> = {}): RoleLease => ({
    role: 'router',
    name: 'router-0',
    bootId: boot(bootId),
    linkAddress: '10.0.0.1:7000',
    ...more,
  });
  const byBoot = (leases: readonly RoleLease[]): RoleLease[] =>
    leases.toSorted((a, b) => (a.bootId < b.bootId ? -1 : 1));

  test('roles are found by their leases, each role by itself, whole, until they are dropped', () =>
    withStore(subject, {}, async ({ store }) => {
      const leases = [aLease('a'), aLease('b', { name: 'router-1', linkAddress: 'router-1.svc:7000' })];
      const drainer = aLease('c', { role: 'drainer', name: 'drainer-0' });
      for (const lease of [...leases, drainer]) await store.renewRoleLease(lease, 60_000);
      assert.deepEqual(byBoot(await store.roleLeases('router')), leases);
      assert.deepEqual(await store.roleLeases('drainer'), [drainer]);
      await store.dropRoleLease('router', boot('a'));
      await store.dropRoleLease('router', boot('c'));
      assert.deepEqual(await store.roleLeases('router'), [leases[1]]);
      assert.deepEqual(await store.roleLeases('drainer'), [drainer]);
    }));

  test('a lease of a role that is not renewed runs out', () =>
    withStore(subject, {}, async ({ store, advance }) => {
      await store.renewRoleLease(aLease('a'), 400);
      await store.renewRoleLease(aLease('b', { linkAddress: 'old:1' }), 400);
      await advance(250);
      await store.renewRoleLease(aLease('b', { linkAddress: 'new:1' }), 400);
      await advance(250);
      assert.deepEqual(await store.roleLeases('router'), [aLease('b', { linkAddress: 'new:1' })]);
      await advance(250);
      assert.deepEqual(await store.roleLeases('router'), []);
    }));
}
