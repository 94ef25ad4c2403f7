// Every bound of the wire and of the store, in one place. A limit that an operator may want to move is the default of a
// setting of the same name; the others are the protocol's. Each is tested at and past it.

export const LIMITS = {
  /** One frame from a client, bytes. A hello with 256 positions is about 24 KiB. */
  clientFrameBytesMax: 64 * 1024,
  /** A message's body, bytes. */
  bodyBytesMax: 32 * 1024,
  /** A message's attributes as JSON text, bytes. */
  attributesBytesMax: 4 * 1024,
  /** One HTTP request's body, bytes. */
  requestBytesMax: 256 * 1024,
  /** That of a push: 100,000 names of 50 characters are 5.3 MB. */
  pushRequestBytesMax: 8 * 1024 * 1024,
  /** Requests larger than requestBytesMax that a server holds at once; more are asked to come back. */
  largeRequestsMax: 8,
  /** Topics one session may hold. */
  subscriptionsMax: 4096,
  /** Positions or subscriptions one frame may carry; a client with more sends further frames. */
  positionsPerFrameMax: 256,
  /** Topic patterns a token carries; each is a name or a prefix ending in `*`. */
  topicPatternsMax: 32,
  /** A token or a ticket, characters: 32 patterns of 129 and three names are 4.8 KB of JSON, 6.6 KB signed. */
  credentialCharsMax: 8 * 1024,
  /** Levels of lists and objects in a body: whoever writes it again, or parses it, recurses. */
  bodyDepthMax: 64,
  /** One frame on a link between roles, bytes. */
  linkFrameBytesMax: 4 * 1024 * 1024,
  /** Device stream: entries and bytes not yet settled (R6). */
  deviceStreamEntriesMax: 1000,
  deviceStreamBytesMax: 1024 * 1024,
  /** Topic stream: entries, bytes and age kept (R6). */
  topicStreamEntriesMax: 10_000,
  topicStreamBytesMax: 16 * 1024 * 1024,
  topicStreamAgeMs: 24 * 3600_000,
  /** A message waits this long unless the sender says otherwise; at most the second figure. */
  ttlDefaultMs: 7 * 24 * 3600_000,
  ttlMaxMs: 30 * 24 * 3600_000,
  /** Message ids remembered for each stream, and for how long (R2). */
  duplicateWindowEntries: 2000,
  duplicateWindowMs: 24 * 3600_000,
  /** How long an idempotency key is remembered. */
  idempotencyWindowMs: 24 * 3600_000,
  idempotencyKeyCharsMax: 128,
  /** Epochs remembered for each stream (R3). */
  epochHistoryMax: 8,
  /** How long a message, its recipients and its results can be asked for. */
  messageKeptMs: 24 * 3600_000,
  /** Recipients of one request, and names in one stored chunk of them: about 25 KB at 50 characters. */
  recipientsMax: 100_000,
  chunkRecipientsMax: 500,
  /** What a job may carry, bytes. */
  jobBytesMax: 64 * 1024,
  /** A subscription's filter as JSON text, bytes. */
  filterBytesMax: 2048,
  /** What one filter may name: business types, fields, and values of each field. */
  filterTypesMax: 32,
  filterFieldsMax: 8,
  filterValuesMax: 32,
  /** Messages that one pull may ask for: a window. */
  pullMessagesMax: 256,
  /** The reason of a negative ack, characters, and how far it may put the next try off, ms. */
  nackReasonCharsMax: 200,
  nackRetryAfterMs: 3600_000,
  /** Dead letters of one bucket of the store (about 4,096 × 1,000 in all), and how long they are kept. */
  deadLettersMax: 1000,
  deadLetterKeptMs: 30 * 24 * 3600_000,
  /** Members of a group. */
  groupMembersMax: 10_000,
  /** A subscription that was cut short while it was entered or left is finished by the upkeep after this. */
  cutShortMs: 60_000,
  /** Deliveries of one message to one device before it is dead-lettered. */
  attemptsMax: 5,
  /** Devices of one account. */
  accountDevicesMax: 64,
  /** Entries read from a stream at once. */
  readEntriesMax: 500,
  readBytesMax: 512 * 1024,
} as const;
