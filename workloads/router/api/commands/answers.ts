// Pieces that answers of several commands are made of.

/** ms since 1970 → ISO 8601; 0: null. */
export function isoOf(atMs: number): string | null {
  return atMs === 0 ? null : new Date(atMs).toISOString();
}

/** A page's most rows, and how many come unless asked otherwise. */
export const PAGE = { min: 1, max: 500, fallback: 100 } as const;
export const CURSOR_CHARS_MAX = 256;

/** A body as JSON can say it: `content` tells which. */
export function bodyOf(content: 'json' | 'text' | 'bytes', body: Uint8Array): unknown {
  const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (content === 'bytes') return buffer.toString('base64');
  return content === 'text' ? buffer.toString() : (JSON.parse(buffer.toString()) as unknown);
}
