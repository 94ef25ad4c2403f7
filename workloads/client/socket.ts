// One WebSocket of a client, whatever its implementation: the browser's and Node's global, or `ws`. After `close` nothing of it is heard
// any more, so that a connection that was left cannot speak again. client.ts opens one for each attempt.
import { SUBPROTOCOL_JSON } from '../protocol/frames.ts';

/** The part of a WebSocket that is needed; the browser's, Node's and `ws`'s have it. */
export interface WebSocketLike {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void;
}
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

export interface SocketHandlers {
  readonly onOpen: () => void;
  readonly onText: (data: unknown) => void;
  readonly onClose: (code: number, reason: string) => void;
}
export interface Socket {
  /** False when it is not open: what was to be sent is lost, as on a cut line. */
  send(text: string): boolean;
  close(): void;
  /** As a cut line: gone without the closing handshake where the implementation can do that. */
  cut(): void;
}

const OPEN = 1;
const ABNORMAL = 1006;

/** Starts connecting. A URL that cannot be used at all is told as a close, later. */
export function openSocket(url: string, make: WebSocketConstructor, handlers: SocketHandlers): Socket {
  let left = false;
  const gone = (code: number, reason: string): void => {
    if (left) return;
    left = true;
    handlers.onClose(code, reason);
  };
  let socket: WebSocketLike;
  try {
    socket = new make(url, [SUBPROTOCOL_JSON]);
  } catch (error) {
    queueMicrotask(() => gone(ABNORMAL, error instanceof Error ? error.message : String(error)));
    return { send: () => false, close: () => void (left = true), cut: () => void (left = true) };
  }
  socket.addEventListener('open', () => left || handlers.onOpen());
  socket.addEventListener('message', (event) => left || handlers.onText(event.data));
  socket.addEventListener('close', (event) => gone(event.code, event.reason));
  socket.addEventListener('error', () => {}); // a close follows each error
  const leave = (): void => {
    left = true;
    socket.close(1000);
  };
  return {
    send(text) {
      if (left || socket.readyState !== OPEN) return false;
      socket.send(text);
      return true;
    },
    close: leave,
    cut() {
      if ('terminate' in socket && typeof socket.terminate === 'function') socket.terminate();
      else socket.close();
      gone(ABNORMAL, 'cut');
    },
  };
}
