// Telling gateways what the store already has (durable), or what only lives on the way (live). A hint that is lost costs time, never a
// message. push.ts calls these after the append; answers come back here from the links.
import type { Bus } from '../../bus/port.ts';
import { newLinkCounters } from '../../link/counters.ts';
import type { LinkCounters } from '../../link/counters.ts';
import type { AppId, BootId, DeviceId, MessageId } from '../../protocol/ids.ts';
import type { Answer, AnswerMany, DeliverDevice, DeliverManyRow } from '../../protocol/link.ts';
import { recordMessageId } from '../../protocol/record.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Store } from '../../store/port.ts';
import { Broadcast } from './broadcast.ts';
import type { RouterCounts } from '../counts.ts';
import { countOf, isLive } from './gateway-link.ts';
import type { Delivery, GatewayLinkOptions, Sent } from './gateway-link.ts';
import type { GatewayPath } from './gateway-path.ts';
import { Gateways } from './gateways.ts';
import type { GatewayReplies } from './gateways.ts';
import { framesOfMany } from './many.ts';
import type { ManyDelivery } from './many.ts';
import { Routes } from './routes.ts';
import type { Presence } from './routes.ts';

export type { ManyDelivery } from './many.ts';
export type { Presence } from './routes.ts';

/** A durable entry of a device's stream. */
export type DurableDelivery = Omit<DeliverDevice, 'seq' | 'bootId' | 'stamp'>;
/** A live message for a device, stamped. */
export type LiveDelivery = Omit<DeliverDevice, 'seq' | 'bootId'>;

export interface HintsOptions {
  readonly store: Pick<Store, 'leases' | 'routes'>;
  readonly leasePollMs: number;
  readonly routeCacheMs: number;
  readonly routeCacheRowsMax: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: RouterCounts;
  /** Where deliveries go when a gateway's link fails; null: there is none. */
  readonly bus: Bus | null;
  readonly link: Pick<GatewayLinkOptions, 'name' | 'keys' | 'random' | 'onCommand'>;
  /** A gateway has room again, or is gone. */
  onRoom(): void;
  /** Devices that seemed to be online when the message was sent, and are not. Never throws. */
  onOffline(of: OfflineDelivery, devices: readonly DeviceId[]): void;
}

/** Which durable message it is that devices turned out to be offline for. */
export interface OfflineDelivery {
  readonly app: AppId;
  readonly id: MessageId;
  readonly lane: Lane;
}

/** Where the devices of one message seem to be. */
export interface ManyTold {
  readonly online: number;
  /** The store did not answer; every gateway was told. */
  readonly unknown: number;
  readonly offline: readonly DeviceId[];
}

/** A delivery is sent along one newer route, then left to the stream. */
const MOVES_MAX = 1;
/** Rows for a gateway without room wait this long for it, then they are left to the stream. */
const ROOM_WAIT_MS = 5000;
const ASK_TIMEOUT_MS = 1000;

export class Hints {
  readonly gateways: Gateways;
  readonly linkCounters: LinkCounters = newLinkCounters();
  readonly #options: HintsOptions;
  readonly #routes: Routes;
  #roomWaiters: (() => void)[] = [];

  constructor(options: HintsOptions) {
    this.#options = options;
    const { store, leasePollMs, clock, log, counts, bus } = options;
    this.gateways = new Gateways({
      store,
      leasePollMs,
      clock,
      log,
      broadcast: bus === null ? null : openBroadcast({ ...options, bus }),
      link: {
        ...options.link,
        counters: this.linkCounters,
        onAnswer: (sent, answer) => this.#answered(sent, answer),
        onRoom: () => {
          this.#wakeForRoom();
          options.onRoom();
        },
      },
      onLost: (left) => {
        left.forEach((sent) => this.#lost(sent));
        this.#wakeForRoom();
      },
      onDropped: (count) => void (counts.hints.dropped += count),
      onStoreFailure: () => void counts.storeFailures++,
    });
    const { routeCacheRowsMax: rowsMax, routeCacheMs: ttlMs } = options;
    this.#routes = new Routes({ store, gateways: this.gateways, rowsMax, ttlMs, clock, log, counts });
  }

  get cachedRoutes(): number {
    return this.#routes.cached;
  }

  /** Tells the device's gateway of an entry its stream holds; answers where the device seems to be. Never rejects. */
  async tellDevice(durable: DurableDelivery, moves = 0): Promise<Presence> {
    const delivery = { ...durable, stamp: 0 };
    const presence = await this.#routes.of(delivery.app, delivery.device);
    const { hints } = this.#options.counts;
    if (presence === 'offline') hints.offline++;
    else if (presence === 'unknown') {
      hints.unknown++;
      this.#tellAll((bootId) => ({ ...delivery, bootId }));
    } else {
      const link = this.gateways.byBoot(presence.bootId);
      if (link?.offer({ ...delivery, bootId: presence.bootId }, moves) === 'full') hints.dropped++;
    }
    return presence;
  }

  /**
   * Tells the gateways of one message that stands in many streams. Resolves once everything is on its way; waits while a gateway has
   * no room, so that whoever expands a list goes at the pace of the slowest. Never rejects.
   * Cost: one trip for the routes that are not cached, one frame for each gateway and 500 rows.
   */
  async tellMany(many: ManyDelivery, moves = 0): Promise<ManyTold> {
    const presences = await this.#routes.ofMany(
      many.app,
      many.rows.map(({ device }) => device),
    );
    const byBoot = new Map<BootId, DeliverManyRow[]>();
    const unknown: DeliverManyRow[] = [];
    const offline: DeviceId[] = [];
    many.rows.forEach((row, i) => {
      const presence = presences[i]!;
      if (presence === 'offline') offline.push(row.device);
      else if (presence === 'unknown') unknown.push(row);
      else {
        const rows = byBoot.get(presence.bootId);
        if (rows === undefined) byBoot.set(presence.bootId, [row]);
        else rows.push(row);
      }
    });
    const { hints } = this.#options.counts;
    hints.offline += offline.length;
    hints.unknown += unknown.length;
    if (moves > 0) hints.moved += many.rows.length - offline.length - unknown.length;
    await Promise.all([...byBoot].map(([bootId, rows]) => this.#offerMany({ ...many, rows }, { bootId, moves })));
    if (unknown.length > 0)
      for (const { lease } of this.gateways.all())
        await this.#offerMany({ ...many, rows: unknown }, { bootId: lease.bootId, moves: MOVES_MAX });
    return { online: many.rows.length - offline.length - unknown.length, unknown: unknown.length, offline };
  }

  /** Sends a live message to a device; `busy`: its gateway cannot take it now. Unknown: it goes to every gateway. */
  async sendLive(delivery: LiveDelivery, moves = 0): Promise<Presence | 'busy'> {
    const presence = await this.#routes.of(delivery.app, delivery.device);
    if (presence === 'offline') return presence;
    if (presence === 'unknown') {
      let sent = 0;
      for (const link of this.gateways.all())
        if (link.offerLive({ ...delivery, bootId: link.lease.bootId }, MOVES_MAX)) sent++;
      return sent > 0 ? 'unknown' : 'busy';
    }
    const link = this.gateways.byBoot(presence.bootId);
    return link?.offerLive({ ...delivery, bootId: presence.bootId }, moves) === true ? presence : 'busy';
  }

  /** Where a device is, from the cache or the store. Never rejects. */
  presence(app: AppId, device: DeviceId): Promise<Presence> {
    return this.#routes.of(app, device);
  }

  /** Asks every gateway a question of the API (`trace`), body in JSON; those that stay silent for a second are named. */
  askGateways(op: string, question: { app: AppId; body: Uint8Array }): Promise<GatewayReplies> {
    return this.gateways.ask({ kind: 'command', op, account: '', device: '', ...question }, ASK_TIMEOUT_MS);
  }

  /** The same entry to every gateway: whoever has the device takes it, the others answer `not-here` and that is that. */
  #tellAll(deliveryFor: (bootId: BootId) => Delivery): void {
    for (const { lease } of this.gateways.all()) {
      const outcome = this.gateways.byBoot(lease.bootId)?.offer(deliveryFor(lease.bootId), MOVES_MAX);
      if (outcome === 'full') this.#options.counts.hints.dropped++;
    }
  }

  async #offerMany(many: ManyDelivery, to: { bootId: BootId; moves: number }): Promise<void> {
    for (const frame of framesOfMany(many, to.bootId)) {
      const link = this.gateways.byBoot(to.bootId);
      if (link === null) return void (this.#options.counts.hints.dropped += frame.rows.length);
      if (!(await this.#offered(link, frame, to.moves))) this.#options.counts.hints.dropped += frame.rows.length;
    }
  }
  /** False: there was no room for too long. */
  async #offered(link: GatewayPath, frame: Delivery, moves: number): Promise<boolean> {
    if (link.offer(frame, moves) !== 'full') return true;
    let late = false;
    const cancel = this.#options.clock.after(ROOM_WAIT_MS, () => {
      late = true;
      this.#wakeForRoom();
    });
    try {
      do await new Promise<void>((resolve) => void this.#roomWaiters.push(resolve));
      while (!late && link.offer(frame, moves) === 'full');
      return !late;
    } finally {
      cancel();
    }
  }
  #wakeForRoom(): void {
    const waiters = this.#roomWaiters;
    if (waiters.length === 0) return;
    this.#roomWaiters = [];
    waiters.forEach((wake) => wake());
  }

  #answered(sent: Sent, answer: Answer | AnswerMany): void {
    this.#wakeForRoom();
    const { hints } = this.#options.counts;
    const { delivery } = sent;
    if (delivery.kind === 'deliver-many') {
      if (answer.kind === 'answer-many') this.#answeredMany({ ...sent, delivery }, answer);
      return;
    }
    if (answer.kind === 'answer-many') return;
    if (delivery.kind === 'deliver-topic' || answer.outcome !== 'not-here') {
      hints[answer.outcome === 'slow' ? 'slow' : 'taken']++;
      return;
    }
    this.#lost(sent);
  }

  #answeredMany(sent: Sent & { delivery: { rows: readonly DeliverManyRow[] } }, answer: AnswerMany): void {
    const { hints } = this.#options.counts;
    const { rows } = sent.delivery;
    const gone = answer.notHere.flatMap((place) => rows[place] ?? []);
    hints.slow += answer.slow.length;
    hints.taken += rows.length - answer.slow.length - gone.length;
    if (gone.length > 0 && sent.delivery.kind === 'deliver-many')
      this.#lost({ ...sent, delivery: { ...sent.delivery, rows: gone } });
  }

  /** The device is not where it was: along its newer route if there is one. */
  #lost(sent: Sent): void {
    const { delivery, moves } = sent;
    const { hints } = this.#options.counts;
    if (delivery.kind === 'deliver-topic') return;
    const devices = delivery.kind === 'deliver-many' ? delivery.rows.map(({ device }) => device) : [delivery.device];
    for (const device of devices) this.#routes.drop(delivery.app, device, delivery.bootId);
    if (moves >= MOVES_MAX) {
      hints['not-here'] += countOf(delivery);
      return;
    }
    this.#again(delivery, moves + 1).catch((error: unknown) =>
      this.#options.log.error({ err: error }, 'a delivery could not be sent again'),
    );
  }
  async #again(delivery: Exclude<Delivery, { kind: 'deliver-topic' }>, moves: number): Promise<void> {
    if (delivery.kind === 'deliver-many') {
      const { offline } = await this.tellMany(delivery, moves);
      if (offline.length > 0) this.#foundOffline(delivery, offline);
      return;
    }
    const presence = isLive(delivery) ? await this.sendLive(delivery, moves) : await this.tellDevice(delivery, moves);
    if (typeof presence === 'object') this.#options.counts.hints.moved++;
    else if (presence === 'offline' && !isLive(delivery)) this.#foundOffline(delivery, [delivery.device]);
  }
  /** Whoever sent it was told that they are online. */
  #foundOffline(
    { app, lane, record }: Pick<DeliverDevice, 'app' | 'lane' | 'record'>,
    devices: readonly DeviceId[],
  ): void {
    this.#options.onOffline({ app, id: recordMessageId(record), lane }, devices);
  }
}

function openBroadcast({ bus, clock, log, counts }: HintsOptions & { bus: Bus }): Broadcast {
  return new Broadcast({
    bus,
    clock,
    log,
    onDiverted: (count) => void (counts.hints.diverted += count),
    onFailure: () => void counts.busFailures++,
  });
}
