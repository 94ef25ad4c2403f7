// What a push is answered; schemas/accepted.ts describes each field to callers.
import type { DeviceId, MessageId } from '../../protocol/ids.ts';

export interface AcceptedPosition {
  readonly device?: DeviceId;
  readonly stream: string;
  readonly epoch: string;
  readonly offset: number;
}
export interface RefusedDevice {
  readonly device: DeviceId;
  readonly code: 'stream-full' | 'device-unknown';
}
/** `stored`: in each stream. `accepted`: a list, to be expanded. `scheduled`: to be sent later. `journalled`: on the bus, the store is away. */
export type AcceptedState = 'stored' | 'sent' | 'offline' | 'accepted' | 'scheduled' | 'journalled';

export interface Accepted {
  readonly id: MessageId;
  readonly state: AcceptedState;
  readonly duplicate?: boolean;
  readonly recipients: number;
  readonly positions?: readonly AcceptedPosition[];
  readonly online?: number;
  readonly gateways?: number;
  readonly refused?: readonly RefusedDevice[];
  /** ISO 8601; of a scheduled one. */
  readonly dueAt?: string;
}
