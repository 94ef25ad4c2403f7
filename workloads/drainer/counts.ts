// What a drainer counts, as plain numbers; metrics.ts reads them at a scrape.

export class Counts {
  requests = 0;
  refused = 0;
  pages = 0;
  entries = 0;
  bytes = 0;
  storeFailures = 0;
  /** Pages that nobody waited for any more when their turn came, or that did not fit the link. */
  dropped = 0;
}
