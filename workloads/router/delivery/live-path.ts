// The way of a live message out of the router: by the one router that owns its stream, which stamps it (R11). With one router nothing is
// forwarded. An owner that cannot be reached is passed over: the next on the ring stamps then, above what it knows of. push.ts sends
// here; what other routers forward comes in through `take`.
import { RefusedError } from '../../protocol/codes.ts';
import type { AppId, BootId, DeviceId, TopicName } from '../../protocol/ids.ts';
import type { Forwarded, ForwardLive } from '../../protocol/link.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { Delivery } from './gateway-link.ts';
import type { LiveDelivery, Presence } from './hints.ts';
import { BUSY_RETRY_MS } from './live-queue.ts';
import { deviceStream, topicStream } from './owners.ts';
import type { Owners } from './owners.ts';
import type { Forward } from './router-peers.ts';
import type { Stamps } from './stamps.ts';

export interface LivePathOptions {
  readonly own: BootId;
  readonly owners: Pick<Owners, 'count' | 'ownerOf'>;
  readonly peers: {
    canReach(boot: BootId): boolean;
    forward(boot: BootId, message: Forward): Promise<Forwarded | null>;
  };
  readonly stamps: Stamps;
  /** To every gateway, in the order asked. Resolves with how many. Throws RefusedError 'overloaded'. */
  readonly sendTopic: (delivery: Delivery) => Promise<number>;
  readonly sendDevice: (delivery: LiveDelivery) => Promise<Presence | 'busy'>;
  onForwarded(): void;
}

/** What became of a live message to a device, and where the device is. */
export type LiveDeviceOutcome = Pick<Forwarded, 'outcome' | 'bootId'>;
type Done = Pick<Forwarded, 'outcome' | 'gateways' | 'bootId' | 'stamp'>;
const NOWHERE = { epoch: null, offset: 0, prev: 0 } as const;

export class LivePath {
  readonly #options: LivePathOptions;

  constructor(options: LivePathOptions) {
    this.#options = options;
  }

  /** Resolves with the gateways it was sent to. Rejects with RefusedError 'overloaded'. */
  async toTopic(app: AppId, topic: TopicName, record: Uint8Array): Promise<number> {
    const owner = this.#ownerOf(() => topicStream(app, topic));
    if (owner === null) return await this.#sendTopic({ app, topic, record, stamp: this.#options.stamps.next() });
    const answer = await this.#forward(owner, { kind: 'forward-live', app, topic, device: '', lane: 'normal', record });
    if (answer.outcome === 'busy') throw busy('the router that owns the topic takes nothing now');
    return answer.gateways;
  }

  /** Resolves with what became of it; `busy`: its gateway takes nothing now. Rejects with RefusedError 'overloaded'. */
  async toDevice(
    app: AppId,
    device: DeviceId,
    message: { lane: Lane; record: Uint8Array },
  ): Promise<LiveDeviceOutcome> {
    const owner = this.#ownerOf(() => deviceStream(app, device));
    if (owner === null) return await this.#ownDevice(app, device, message);
    return await this.#forward(owner, { kind: 'forward-live', app, topic: '', device, ...message });
  }

  /** A live message that another router takes this one to own. It is stamped here whether or not that is so: nothing goes in circles. */
  async take(frame: ForwardLive): Promise<Forwarded> {
    this.#options.stamps.observe(frame.floor);
    const { seq, app, topic, device, lane, record } = frame;
    try {
      const done =
        topic === ''
          ? await this.#ownDevice(app, device as DeviceId, { lane, record })
          : await this.#ownTopic(app, topic, record);
      return { kind: 'forwarded', seq, ...done };
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      return { kind: 'forwarded', seq, outcome: 'busy', gateways: 0, bootId: '', stamp: this.#options.stamps.newest };
    }
  }

  /** Null: this router. */
  #ownerOf(stream: () => string): BootId | null {
    const { own, owners, peers } = this.#options;
    if (owners.count <= 1) return null;
    const owner = owners.ownerOf(stream(), (boot) => boot === own || peers.canReach(boot));
    return owner === own ? null : owner;
  }

  async #forward(owner: BootId, message: Forward): Promise<Forwarded> {
    this.#options.onForwarded();
    const answer = await this.#options.peers.forward(owner, message);
    if (answer === null)
      throw busy('the router that owns the stream went away or takes no more; whether the message was sent is unknown');
    return answer;
  }

  async #ownTopic(app: AppId, topic: TopicName, record: Uint8Array): Promise<Done> {
    const stamp = this.#options.stamps.next();
    const gateways = await this.#sendTopic({ app, topic, record, stamp });
    return { outcome: 'sent', gateways, bootId: '', stamp };
  }
  #sendTopic(message: { app: AppId; topic: TopicName; record: Uint8Array; stamp: number }): Promise<number> {
    return this.#options.sendTopic({ kind: 'deliver-topic', ...message, ...NOWHERE });
  }

  async #ownDevice(app: AppId, device: DeviceId, message: { lane: Lane; record: Uint8Array }): Promise<Done> {
    const stamp = this.#options.stamps.next();
    const presence = await this.#options.sendDevice({
      kind: 'deliver-device',
      app,
      device,
      stamp,
      ...message,
      ...NOWHERE,
    });
    return typeof presence === 'object'
      ? { outcome: 'sent', gateways: 1, bootId: presence.bootId, stamp }
      : { outcome: presence, gateways: 0, bootId: '', stamp };
  }
}

function busy(message: string): RefusedError {
  return new RefusedError('overloaded', message, { retryAfterMs: BUSY_RETRY_MS });
}
