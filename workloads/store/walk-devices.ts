// Operations of a walk (walk.ts) on devices and their sessions, and on dead letters.
import assert from 'node:assert/strict';
import type { DeadLetterAction, LaneState } from './port.ts';
import { byTopic, isDue, letterKey } from './walk-state.ts';
import type { ModelLane } from './walk-state.ts';
import { ACCOUNTS, DEVICES } from './walker.ts';
import type { Walker } from './walker.ts';
import type { AccountId, BootId, DeviceId, GatewayName } from '../protocol/ids.ts';
import { laneOf } from '../protocol/streams.ts';

export async function register(walker: Walker, name = walker.pick(DEVICES)): Promise<void> {
  const present = walker.model.device(name).account;
  const account = present !== null && walker.chance(70) ? present : walker.pick(ACCOUNTS);
  await walker.do(`register ${name} ${account}`, async () => {
    if (walker.model.device(name).account !== account) await sweepDevice(walker, name);
    const outcome = await walker.store.registerDevice({
      app: walker.app,
      account: account as AccountId,
      device: name,
      tokenId: `${name}-${account}`,
      tokenExpiresAtMs: 4_000_000_000_000,
      accountDevicesMax: 9,
    });
    assert.equal(outcome, 'registered');
    const device = walker.model.device(name);
    const info = await walker.store.device(walker.app, name);
    const rises = device.account !== null && device.account !== account;
    assert.ok(info!.generation >= device.generation + (rises ? 1 : 0), 'another account ends the session');
    device.generation = info!.generation;
    walker.model.left(name, account);
  });
}

export async function close(walker: Walker): Promise<void> {
  const name = walker.pick(DEVICES);
  await walker.do(`close ${name}`, async () => {
    await sweepDevice(walker, name);
    assert.equal(await walker.store.closeDevice(walker.app, name), walker.model.device(name).account !== null);
    walker.model.left(name, null);
  });
}

/** Before a device leaves: what is due there has expired then, and is not cancelled. */
async function sweepDevice(walker: Walker, name: DeviceId): Promise<void> {
  if (walker.model.hasDue(name, walker.under.nowMs())) await walker.sweepNow();
}

export async function open(walker: Walker, name = walker.pick(DEVICES)): Promise<void> {
  const life = walker.random(3);
  await walker.do(`open ${name}`, async () => {
    const device = walker.model.device(name);
    const opened = await walker.store.openSession({
      app: walker.app,
      account: (device.account ?? ACCOUNTS[0]) as AccountId,
      device: name,
      expectGeneration: null,
      permittedAtMs: 3_900_000_000_000,
      gateway: `gw-${life}` as GatewayName,
      bootId: `boot-${life}` as BootId,
    });
    if (opened.kind !== 'opened') return assert.deepEqual([opened.kind, device.account], ['device-unknown', null]);
    assert.ok(opened.generation > device.generation, 'generations rise');
    device.generation = opened.generation;
    assert.deepEqual(
      opened.topics.toSorted(byTopic),
      [...device.cursors.values()].toSorted(byTopic),
      'cursors of a session',
    );
    for (const { lane, ...told } of opened.lanes) checkLane(walker, device.lanes.get(lane)!, told);
    assert.equal(opened.lanes.length, device.lanes.size);
  });
  if (walker.chance(20)) {
    const generation = walker.generation(walker.model.device(name));
    await walker.store.closeSessions([{ app: walker.app, device: name, generation, bootId: `boot-${life}` as BootId }]);
  }
}

function checkLane(walker: Walker, lane: ModelLane, told: Omit<LaneState, 'lane'>): void {
  assert.deepEqual([told.epoch, told.head, told.settled], [lane.epochs.at(-1)!.epoch, lane.head, lane.floor]);
  const waiting = lane.deliveries.filter((row) => row.state === 'waiting');
  const due = waiting.filter((row) => isDue(row, walker.under.nowMs()));
  assert.ok(told.held <= waiting.length && told.held >= waiting.length - due.length, `holds ${told.held}`);
  const tried = waiting.find((row) => row.offset === lane.attempts?.offset);
  const expected = tried === undefined ? [0, 0] : [lane.attempts!.n, tried.offset];
  assert.deepEqual([told.attempts, told.attemptsOffset], expected, 'attempts');
}

export async function changeLetter(walker: Walker): Promise<void> {
  if (walker.model.state.letters.size === 0) return;
  const letters = (await walker.letters()).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const letter = walker.pick(letters);
  const [messageId, kind] = [walker.anId(), walker.pick(['redrive', 'redrive', 'drop', 'hold', 'release'] as const)];
  const action: DeadLetterAction = kind === 'redrive' ? { kind, messageId, expiresAtMs: 0 } : { kind };
  await walker.do(`${kind} ${letterKey(letter)}`, async () => {
    const [outcome] = await walker.store.changeDeadLetters(walker.app, [{ id: letter.id, action }]);
    const { letters: known } = walker.model.state;
    const key = letterKey(letter);
    if (kind === 'redrive') {
      const lane = laneOf(letter.stream) ?? 'normal';
      const stream = { app: walker.app, kind: 'device', device: letter.device, lane } as const;
      const append = { stream, messageId, record: letter.record, expiresAtMs: 0 };
      walker.model.redriven(known.get(key) ?? letter, append, outcome!, walker.under.nowMs());
      return;
    }
    assert.equal(outcome!.kind, known.has(key) ? 'done' : 'unknown');
    if (kind === 'drop') known.delete(key);
    else if (known.has(key)) known.set(key, { ...known.get(key)!, state: kind === 'hold' ? 'held' : 'dead' });
  });
}
