// One durable message for many devices, cut into frames: each has the record once and as many rows as fit. Pure. hints.ts groups rows by
// gateway with it and offers each frame to that gateway's link.
import type { AppId, BootId } from '../../protocol/ids.ts';
import type { DeliverMany, DeliverManyRow } from '../../protocol/link.ts';
import type { Lane } from '../../protocol/streams.ts';

/** One message and where it stands in the streams of its devices. */
export interface ManyDelivery {
  readonly app: AppId;
  readonly lane: Lane;
  /** With its body, also where the streams keep it elsewhere. */
  readonly record: Uint8Array;
  readonly rows: readonly DeliverManyRow[];
}

/** A frame's most bytes, so that one message does not hold up others on the link; a record alone may be 37 KB. */
export const MANY_FRAME_BYTES_MAX = 256 * 1024;
export const MANY_ROWS_MAX = 500;
/** Lengths of two texts and two numbers of a row; seq, lane, counts and lengths of a frame. */
const ROW_BYTES = 20;
const FRAME_BYTES = 40;

/** Rows → frames for one life of a gateway. A record that leaves no room goes with one row a frame. */
export function framesOfMany(many: ManyDelivery, bootId: BootId): readonly Omit<DeliverMany, 'seq'>[] {
  const { app, lane, record, rows } = many;
  const roomBytes = MANY_FRAME_BYTES_MAX - FRAME_BYTES - app.length - bootId.length - record.length;
  const frames: Omit<DeliverMany, 'seq'>[] = [];
  let from = 0;
  let bytes = 0;
  rows.forEach((row, i) => {
    // Names and epochs are ASCII (protocol/ids.ts), so characters are bytes.
    const more = ROW_BYTES + row.device.length + row.epoch.length;
    if (i > from && (bytes + more > roomBytes || i - from >= MANY_ROWS_MAX)) {
      frames.push({ kind: 'deliver-many', app, bootId, lane, record, rows: rows.slice(from, i) });
      from = i;
      bytes = 0;
    }
    bytes += more;
  });
  if (from < rows.length) frames.push({ kind: 'deliver-many', app, bootId, lane, record, rows: rows.slice(from) });
  return frames;
}
