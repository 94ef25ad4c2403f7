// Notices: what an app can be told (WEBHOOK_EVENTS of apps.ts), and the job that tells it. Whoever learns of an event puts the job; any
// router runs it and posts the payload, signed. Ids come from what happened, so that putting one again changes nothing. Pure.
import type { AppDefinition, WebhookEvent } from './apps.ts';
import type { AccountId, AppId, DeviceId, GatewayName, MessageId } from './ids.ts';
import type { StreamName } from './streams.ts';

export type Notice =
  /** A delivery ended as a dead letter. */
  | {
      readonly event: 'dead-letter';
      readonly device: DeviceId;
      readonly messageId: MessageId;
      readonly stream: StreamName;
      readonly reason: string;
      readonly attempts: number;
      readonly atMs: number;
    }
  /** A message was stored for a device that is offline: time for a vendor's push service. */
  | {
      readonly event: 'waiting';
      readonly device: DeviceId;
      readonly messageId: MessageId;
      readonly stream: StreamName;
      readonly atMs: number;
    }
  /** A device came or went. */
  | {
      readonly event: 'presence';
      readonly device: DeviceId;
      readonly account: AccountId;
      readonly online: boolean;
      readonly gateway: GatewayName;
      /** Rises with each session of the device: a notice of an older one that comes late tells nothing. */
      readonly generation: number;
      readonly atMs: number;
    };

/** Whether the app asked to be told. */
export function isNoticeWanted(app: AppDefinition, event: WebhookEvent): boolean {
  return app.webhook?.events.includes(event) === true;
}

/** The job (store/port.ts) that tells the app; its payload is the notice as JSON. */
export function noticeJob(app: AppId, notice: Notice) {
  return {
    id: noticeId(notice),
    app,
    kind: 'notice',
    dueAtMs: 0,
    claims: 0,
    payload: new TextEncoder().encode(JSON.stringify(notice)),
  } as const;
}

/** At most 128 characters, the same for the same event. */
export function noticeId(notice: Notice): string {
  const of = hashOf(notice.device);
  if (notice.event === 'presence') return `presence-${of}-${notice.generation}-${notice.online ? 'on' : 'off'}`;
  return `${notice.event}-${notice.messageId}-${of}`;
}

/** Text → at most 16 hex digits, two FNV-1a hashes: among the devices of one message they do not meet. */
function hashOf(text: string): string {
  let one = 0x811c9dc5;
  let two = 0x01234567;
  for (let i = 0; i < text.length; i++) {
    one = Math.imul(one ^ text.charCodeAt(i), 0x01000193) >>> 0;
    two = Math.imul(two ^ (text.charCodeAt(i) + i), 0x5bd1e995) >>> 0;
    two = (two ^ (two >>> 15)) >>> 0;
  }
  return `${one.toString(16)}${two.toString(16).padStart(8, '0')}`;
}
