// What a running role looks like to whoever started it: its main, the embedded process, a test.

export interface RunningRole {
  /** Ports it listens on, by name (`client`, `admin`, `link`, `http`). */
  readonly ports: Readonly<Record<string, number>>;
  /** The graceful way: what SIGTERM does. Resolves when nothing of it is left. */
  stop(): Promise<void>;
  /** The way of a crash: sockets and memory dropped at once, no goodbye, nothing flushed. For tests. */
  kill(): void;
}
