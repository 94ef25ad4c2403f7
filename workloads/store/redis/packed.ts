// What a hot script answers: one text packed by cmsgpack instead of nested RESP, of which Redis and ioredis make more than of a command.
// Called by node.ts. As in RESP numbers are whole, and nil and false are null. Texts are strings at once, so that records go unpacked.
import { StoreUnavailableError } from '../port.ts';
import type { Reply } from './trip.ts';

/** Arrays within arrays at most; scripts answer 3. */
const DEPTH_MAX = 8;

/** The one value that the bytes hold, which is a list with a reply for each item. */
export function unpackReplies(bytes: Buffer): readonly Reply[] {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (!Array.isArray(value) || reader.at !== bytes.length)
    throw new StoreUnavailableError(
      `expected one packed list from a script, got ${bytes.length} bytes of something else`,
    );
  return value as readonly Reply[];
}

/** Reads values packed by cmsgpack, one after the other. */
class Reader {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(depth: number): Reply {
    const type = this.#uint(1);
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type >= 0xa0 && type < 0xc0) return this.#text(type - 0xa0);
    if (type >= 0x90 && type < 0xa0) return this.#list(type - 0x90, depth);
    switch (type) {
      case 0xc0:
      case 0xc2:
        return null;
      case 0xc3:
        return 1;
      case 0xc4:
      case 0xd9:
        return this.#text(this.#uint(1));
      case 0xc5:
      case 0xda:
        return this.#text(this.#uint(2));
      case 0xc6:
      case 0xdb:
        return this.#text(this.#uint(4));
      case 0xdc:
        return this.#list(this.#uint(2), depth);
      case 0xdd:
        return this.#list(this.#uint(4), depth);
      default:
        return this.#number(type);
    }
  }

  #number(type: number): number {
    switch (type) {
      case 0xca:
        return Math.trunc(this.#bytes.readFloatBE(this.#skip(4)));
      case 0xcb:
        return Math.trunc(this.#bytes.readDoubleBE(this.#skip(8)));
      case 0xcc:
        return this.#uint(1);
      case 0xcd:
        return this.#uint(2);
      case 0xce:
        return this.#uint(4);
      case 0xcf:
        return this.#uint(4) * 2 ** 32 + this.#uint(4);
      case 0xd0:
        return this.#bytes.readInt8(this.#skip(1));
      case 0xd1:
        return this.#bytes.readInt16BE(this.#skip(2));
      case 0xd2:
        return this.#bytes.readInt32BE(this.#skip(4));
      case 0xd3:
        return this.#bytes.readInt32BE(this.#skip(4)) * 2 ** 32 + this.#uint(4);
      default:
        throw new StoreUnavailableError(`expected a number, a text or a list from a script, got type ${type}`);
    }
  }

  #uint(size: 1 | 2 | 4): number {
    const bytes = this.#bytes;
    const at = this.#skip(size);
    if (size === 1) return bytes[at]!;
    if (size === 2) return bytes[at]! * 256 + bytes[at + 1]!;
    return ((bytes[at]! * 256 + bytes[at + 1]!) * 256 + bytes[at + 2]!) * 256 + bytes[at + 3]!;
  }

  #text(size: number): string {
    const at = this.#skip(size);
    return this.#bytes.toString('utf8', at, at + size);
  }

  #list(size: number, depth: number): readonly Reply[] {
    // Each element is a byte at least: a length that cannot be is refused before it is believed.
    if (depth >= DEPTH_MAX || size > this.#bytes.length - this.at)
      throw new StoreUnavailableError(`expected a list from a script, got ${size} elements at depth ${depth}`);
    const list: Reply[] = [];
    for (let i = 0; i < size; i++) list.push(this.value(depth + 1));
    return list;
  }

  /** Where the bytes are that are taken. */
  #skip(size: number): number {
    const at = this.at;
    if (at + size > this.#bytes.length)
      throw new StoreUnavailableError(`expected ${size} bytes more from a script, got ${this.#bytes.length - at}`);
    this.at = at + size;
    return at;
  }
}
