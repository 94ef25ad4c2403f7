// Bodies that did not come with their message (`idOnly`): asked for one by one as the application comes near them, a bounded number at once.
// delivery.ts asks whether a message may go on, and for its whole frame when it does.
import type { FetchedFrame, MessageFrame } from '../protocol/frames.ts';
import type { InboxItem, Place } from './inbox.ts';
import { QuestionRefusedError } from './questions.ts';

/** The message is not held any more: it was settled, expired or trimmed. */
export const GONE = 'gone';
/** It could not be fetched, however often; `nackOf` gets the error. */
export interface Failed {
  readonly error: unknown;
}
type Body = FetchedFrame | typeof GONE | Failed;

const FETCHES_MAX = 16;

export class Bodies {
  /** By the identity of the place: what is given back and comes again is fetched again. */
  readonly #known = new WeakMap<Place, Body>();
  readonly #fetching = new WeakSet<Place>();
  readonly #fetch: (item: InboxItem & { place: Place }) => Promise<FetchedFrame>;
  readonly #onKnown: () => void;
  #underWay = 0;

  /** @param options.onKnown a message that waited may go on */
  constructor(options: { fetch: (item: InboxItem & { place: Place }) => Promise<FetchedFrame>; onKnown: () => void }) {
    this.#fetch = options.fetch;
    this.#onKnown = options.onKnown;
  }

  /** Whether its body is here; if not it is being fetched, when its turn comes. */
  isHere(item: InboxItem): boolean {
    const { frame, place } = item;
    if (place === null || frame?.idOnly !== true || this.#known.has(place)) return true;
    if (this.#underWay < FETCHES_MAX && !this.#fetching.has(place)) this.#start({ ...item, place });
    return false;
  }

  /** The whole frame of an item that is here; `gone`, or why it could not be had. */
  frameOf({ frame, place }: InboxItem): MessageFrame | typeof GONE | Failed | null {
    const body = place === null || frame?.idOnly !== true ? undefined : this.#known.get(place);
    if (body === undefined || frame === null) return frame;
    if (body === GONE || 'error' in body) return body;
    const { idOnly: _without, ...rest } = frame;
    return { ...rest, ...(body.encoding === undefined ? {} : { encoding: body.encoding }), body: body.body };
  }

  #start(item: InboxItem & { place: Place }): void {
    const { place } = item;
    this.#underWay++;
    this.#fetching.add(place);
    void this.#fetch(item)
      .catch((error: unknown) =>
        error instanceof QuestionRefusedError && error.code === 'position-unknown' ? GONE : { error },
      )
      .then((body) => {
        this.#underWay--;
        this.#fetching.delete(place);
        this.#known.set(place, body);
        this.#onKnown();
      });
  }
}
