// The delivery id of a dead letter: one text made from device, stream, epoch and offset, so that the same delivery is kept once (R9).
// Opaque to callers, safe in a URL. None of the four has a comma. Pure.
import type { DeviceId, Epoch } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';

export interface Delivery {
  readonly device: DeviceId;
  readonly stream: StreamName;
  readonly epoch: Epoch;
  readonly offset: number;
}

export function encodeDeliveryId({ device, stream, epoch, offset }: Delivery): string {
  return Buffer.from(`${device},${stream},${epoch},${offset}`).toString('base64url');
}

/** Null: no delivery id. */
export function decodeDeliveryId(id: string): Delivery | null {
  const [device, stream, epoch, offset, ...more] = Buffer.from(id, 'base64url').toString().split(',');
  if (offset === undefined || more.length > 0 || !/^\d{1,15}$/.test(offset)) return null;
  return {
    device: device as DeviceId,
    stream: stream as StreamName,
    epoch: epoch as Epoch,
    offset: Number(offset),
  };
}
