// Payload → complete WebSocket frame as a server sends it (RFC 6455 §5.2): final, text, not masked, so that the same bytes go to
// every client that hears a message. outbox.ts writes them.

const TEXT_FINAL = 0x81;

/** One text frame. Cost: one allocation and one copy. */
export function textFrame(payload: Uint8Array): Buffer {
  const { length } = payload;
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + length);
  frame[0] = TEXT_FINAL;
  if (header === 2) frame[1] = length;
  else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.set(payload, header);
  return frame;
}

export function textFrameOf(text: string): Buffer {
  return textFrame(Buffer.from(text));
}
