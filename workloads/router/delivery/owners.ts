// Which router owns a stream's live messages: the next on a consistent hash ring of all routers with a lease, so that one coming or going
// moves only its share of the streams. Pure. live-path.ts asks for each live message where there is more than one router.
import type { AppId, BootId, DeviceId, TopicName } from '../../protocol/ids.ts';
import { buildRing, ringFrom } from '../../runtime/ring.ts';
import type { Ring } from '../../runtime/ring.ts';

export class Owners {
  #boots: readonly BootId[] = [];
  #ring: Ring = buildRing([]);

  /** Sets the routers; answers whether they changed. */
  set(boots: readonly BootId[]): boolean {
    const sorted = [...new Set(boots)].sort();
    if (sorted.length === this.#boots.length && sorted.every((boot, i) => boot === this.#boots[i])) return false;
    this.#boots = sorted;
    this.#ring = buildRing(sorted.map((boot) => ({ name: boot, weight: 100 })));
    return true;
  }

  get count(): number {
    return this.#boots.length;
  }

  /** The first of the stream's owners that is `usable`, from the one that owns it on; null: none is. */
  ownerOf(stream: string, usable: (boot: BootId) => boolean): BootId | null {
    for (const place of ringFrom(this.#ring, stream)) {
      const boot = this.#boots[place]!;
      if (usable(boot)) return boot;
    }
    return null;
  }
}

/** Names of streams of live messages; an app's name has no slash. All lanes of a device are one, so that they keep their order. */
export function topicStream(app: AppId, topic: TopicName): string {
  return `${app}/t/${topic}`;
}
export function deviceStream(app: AppId, device: DeviceId): string {
  return `${app}/d/${device}`;
}
