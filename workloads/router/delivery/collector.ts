// Many questions of one tick, one trip: what is asked before the event loop turns leaves together, a lone question in the same tick
// too. push.ts collects appends and look-ups of routes through it.

export interface Collector<Q, A> {
  ask(question: Q): Promise<A>;
  /** Trips under way. */
  inFlight(): number;
}

interface Waiting<Q, A> {
  readonly question: Q;
  readonly resolve: (answer: A) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * @param options.run answers questions in their order; an Error rejects its question alone, a rejection each of them
 * @param options.questionsMax a trip leaves at once when so many have come, the rest in the next
 */
export function openCollector<Q, A>(options: {
  questionsMax: number;
  run: (questions: readonly Q[]) => Promise<readonly (A | Error)[]>;
}): Collector<Q, A> {
  let waiting: Waiting<Q, A>[] = [];
  let asked = false;
  let inFlight = 0;

  const leave = (): void => {
    const batch = waiting;
    waiting = [];
    if (batch.length === 0) return;
    inFlight++;
    options
      .run(batch.map(({ question }) => question))
      .then(
        (answers) =>
          batch.forEach(({ resolve, reject }, i) => {
            const answer = answers[i]!;
            if (answer instanceof Error) reject(answer);
            else resolve(answer);
          }),
        (error: unknown) => batch.forEach(({ reject }) => reject(error)),
      )
      .finally(() => inFlight--);
  };
  return {
    inFlight: () => inFlight,
    ask(question) {
      return new Promise((resolve, reject) => {
        waiting.push({ question, resolve, reject });
        if (waiting.length >= options.questionsMax) return leave();
        if (asked) return;
        asked = true;
        setImmediate(() => {
          asked = false;
          leave();
        });
      });
    },
  };
}
