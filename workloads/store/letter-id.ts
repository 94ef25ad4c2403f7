// The id of a dead letter, opaque to everyone but the store: device, stream, epoch and offset of the delivery that died, so that the same
// delivery is the same letter. No name has a comma.
import type { DeadLetter } from './port.ts';
import type { DeviceId, Epoch } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';

export type DeadDelivery = Pick<DeadLetter, 'device' | 'stream' | 'epoch' | 'offset'>;

/** Letters, digits, - and _: fit for a path. */
export function letterId({ device, stream, epoch, offset }: DeadDelivery): string {
  return Buffer.from([device, stream, epoch, offset].join(',')).toString('base64url');
}

/** Null: it is none. */
export function parseLetterId(id: string): DeadDelivery | null {
  const parts = Buffer.from(id, 'base64url').toString().split(',');
  const [device, stream, epoch, offset] = parts;
  if (parts.length !== 4 || !/^[1-9]\d{0,15}$/.test(offset!)) return null;
  const delivery = {
    device: device as DeviceId,
    stream: stream as StreamName,
    epoch: epoch as Epoch,
    offset: Number(offset),
  };
  // Base64 has several spellings of the same bytes; one of them is the id.
  return letterId(delivery) === id ? delivery : null;
}
