/* Load generator for the benches: many WebSocket clients of one gateway in one process, on raw sockets and epoll. It says hello with tokens
 * minted beforehand, subscribes, counts message frames by their headers without parsing them, and acks cumulatively when asked. Node would
 * use more of the machine than what it measures. load.ts compiles and starts it; e2e/bench/README.md tells what it was checked against.
 *
 *   load <host> <ports> <connections> <opens per second> <tokens file> <topics> <ack: 0|1> <latency: every nth message, 0 none> <protocol> <retry: 0|1>
 *
 * Ports: one, or several with commas between, taken in turn. Topics: `-` none, a name, or `many:N:M:F`: of the N topics b/F … b/F+N-1 each
 * connection takes M that follow each other, the first ones spread evenly. Protocol: `pushcluster`, or `centrifuge` for the other side of a
 * comparison (its JSON protocol: lines in a frame; no tokens, no acks).
 * Retry: whoever is refused before it was live comes back when the close frame says (retry-after=<ms>), or after a second.
 *
 * Standard input: "count\n" prints one JSON line with the counts so far, "report <n>\n" one with latencies too, from the nth sample on; "reset\n" sets messages, bytes and latencies to zero; end: stops.
 * Latency: now minus the number after "t": in a body, both ms since 1970, of one in n messages (per connection). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEEK 256               /* so much of a payload is looked at: stream, offset, id, time and the start of the body */
#define READ_BYTES (256 * 1024)
#define LATENCIES_MAX (1 << 20)
#define TOPICS_PER_FRAME 200  /* below the 256 that a frame may carry */

enum state { CONNECTING, UPGRADING, WELCOMING, SUBSCRIBING, LIVE, CLOSED, WAITING };
#define TRIES_MAX 60           /* a client that is refused before it was live comes back after RETRY_MS, so often */
#define RETRY_MS 1000

struct client {
  int fd;
  uint8_t state;
  uint8_t header[10];          /* of the frame under way */
  uint8_t header_have, header_need;
  uint16_t peek_have;
  uint64_t payload_left, payload_size;
  uint64_t acked, highest;     /* offsets */
  uint32_t messages;
  uint32_t answers;            /* to subscribes */
  uint32_t tries;
  double retry_ms;
  uint32_t lines;              /* in the payload under way, centrifuge only */
  uint32_t *offsets;           /* of its many topics: the highest that came, then those acked */
  uint32_t *dirty, dirty_count;
  char *peek;                  /* only while a payload is split over two reads */
};

static struct client *clients;
static char **tokens;
static int count, ack_mode, sample_every, epoll_fd, is_centrifuge;
static int topics_all, topics_each, topics_first, ports[64], port_count; /* many topics: N, M and F */
static const char *host, *topic;
static struct sockaddr_in address;
static char buffer[READ_BYTES];
static int retrying;
static uint64_t opened, live, failed, refused, closed_later, messages, repeated, bytes, acks;
static uint16_t close_code;
static float *latencies;
static uint32_t latency_count;

static double now_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000.0 + t.tv_nsec / 1e6;
}

static void end_client(struct client *c) {
  if (c->state == CLOSED || c->state == WAITING) return;
  close(c->fd);
  if (c->state == LIVE) { live--; closed_later++; c->state = CLOSED; }
  else if (retrying && ++c->tries < TRIES_MAX) { refused++; c->state = WAITING; c->retry_ms = now_ms(CLOCK_MONOTONIC) + RETRY_MS; }
  else { failed++; c->state = CLOSED; }
  c->header_have = c->payload_left = c->answers = 0;
  free(c->peek);
  c->peek = NULL;
}

/* A masked text frame; the mask is zero, which leaves the payload as it is. */
static void send_frame(struct client *c, const char *text, size_t length) {
  char frame[16 * 1024];
  size_t at = 0;
  if (length + 14 > sizeof frame) { fprintf(stderr, "frame too large\n"); exit(1); }
  frame[at++] = (char)0x81;
  if (length < 126) frame[at++] = (char)(0x80 | length);
  else { frame[at++] = (char)(0x80 | 126); frame[at++] = (char)(length >> 8); frame[at++] = (char)length; }
  memset(frame + at, 0, 4);
  at += 4;
  memcpy(frame + at, text, length);
  at += length;
  if (write(c->fd, frame, at) != (ssize_t)at) end_client(c); /* what does not fit at once would need a queue: give up instead */
}

static void start_client(struct client *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int one = 1;
  if (c->fd < 0) { perror("socket"); exit(1); }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  opened++;
  c->state = CONNECTING;
  c->header_need = 2;
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
  address.sin_port = htons(ports[(c - clients) % port_count]);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) { end_client(c); return; }
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void upgrade(struct client *c) {
  char request[512];
  int length = snprintf(request, sizeof request,
    "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", is_centrifuge ? "/connection/websocket" : "/", host,
    is_centrifuge ? "" : "Sec-WebSocket-Protocol: pushcluster.v1.json\r\n");
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
  c->state = UPGRADING;
  if (write(c->fd, request, length) != length) end_client(c);
}

static void hello(struct client *c) {
  char text[12 * 1024];
  if (is_centrifuge) {
    c->state = WELCOMING;
    send_frame(c, "{\"id\":1,\"connect\":{}}", 21);
    return;
  }
  int length = snprintf(text, sizeof text, "{\"type\":\"hello\",\"version\":1,\"token\":\"%s\",\"agent\":\"load\"}",
                        tokens[c - clients]);
  c->state = WELCOMING;
  send_frame(c, text, length);
}

static void subscribe(struct client *c) {
  char text[256];
  int length = snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"id\":1,\"topics\":[{\"topic\":\"%s\"}]}", topic);
  c->state = SUBSCRIBING;
  send_frame(c, text, length);
}

static int first_topic(struct client *c) { return (int)((int64_t)(c - clients) * topics_all / count); }
static uint32_t frames_of_topics(void) { return (topics_each + TOPICS_PER_FRAME - 1) / TOPICS_PER_FRAME; }

/* Many topics, so many in a frame as it may carry. */
static void subscribe_many(struct client *c) {
  char text[15 * 1024];
  c->state = SUBSCRIBING;
  for (int from = 0, id = 2; from < topics_each && c->state == SUBSCRIBING; from += TOPICS_PER_FRAME) {
    size_t at = 0;
    int until = from + TOPICS_PER_FRAME < topics_each ? from + TOPICS_PER_FRAME : topics_each;
    if (!is_centrifuge) at += sprintf(text + at, "{\"type\":\"subscribe\",\"id\":%d,\"topics\":[", id++);
    for (int i = from; i < until; i++) {
      int number = topics_first + (first_topic(c) + i) % topics_all;
      if (is_centrifuge) at += sprintf(text + at, "%s{\"id\":%d,\"subscribe\":{\"channel\":\"b/%d\"}}", i > from ? "\n" : "", i + 2, number);
      else at += sprintf(text + at, "%s{\"topic\":\"b/%d\"}", i > from ? "," : "", number);
    }
    if (!is_centrifuge) at += sprintf(text + at, "]}");
    send_frame(c, text, at);
  }
}

static void go_live(struct client *c) { c->state = LIVE; live++; }

static uint64_t number_after(const char *text, size_t length, const char *name, double *fraction) {
  const char *at = memmem(text, length, name, strlen(name));
  if (at == NULL) return 0;
  char digits[32] = {0};
  at += strlen(name);
  size_t left = length - (at - text);
  memcpy(digits, at, left < 31 ? left : 31);
  if (fraction != NULL) *fraction = strtod(digits, NULL);
  return strtoull(digits, NULL, 10);
}

/* Every nth message of a connection; of several that came in one frame the first stands for all. */
static void sample(struct client *c, const char *peek, size_t length, uint32_t of) {
  if (sample_every == 0 || (c->messages % sample_every) >= of) return;
  double sent = 0;
  number_after(peek, length, "\"t\":", &sent);
  if (sent > 0) latencies[latency_count++ & (LATENCIES_MAX - 1)] = (float)(now_ms(CLOCK_REALTIME) - sent);
}

/* One of many topics: false when it came before. */
static int take_of_many(struct client *c, const char *peek, size_t length, uint64_t offset) {
  if (c->offsets == NULL) {
    c->offsets = calloc(2 * topics_each, sizeof(uint32_t));
    c->dirty = malloc(topics_each * sizeof(uint32_t));
  }
  int number = (int)number_after(peek, length, "\"stream\":\"b/", NULL);
  int place = (number - topics_first - first_topic(c) + topics_all) % topics_all;
  if (place >= topics_each || offset <= c->offsets[place]) return 0;
  if (c->offsets[place] == c->offsets[topics_each + place]) c->dirty[c->dirty_count++] = place;
  c->offsets[place] = (uint32_t)offset;
  return 1;
}

/* Lines of the other protocol: replies to connect and subscribes, pushes, pings. */
static void take_lines(struct client *c, const char *peek, size_t length, uint32_t lines) {
  if (length == 2) send_frame(c, "{}", 2); /* ping */
  else if (c->state == WELCOMING) { if (topics_each > 0) subscribe_many(c); else go_live(c); }
  else if (memcmp(peek, "{\"push\"", 7) == 0) {
    messages += lines;
    c->messages += lines;
    bytes += c->payload_size;
    sample(c, peek, length, lines);
  } else if (c->state == SUBSCRIBING && (c->answers += lines) >= (uint32_t)topics_each) go_live(c);
}

/* One frame has arrived whole; `peek` is its start. */
static void take_frame(struct client *c, const char *peek, size_t length) {
  uint8_t opcode = c->header[0] & 15;
  if (opcode == 8) {
    if (length >= 2) close_code = (uint16_t)((uint8_t)peek[0] << 8 | (uint8_t)peek[1]);
    uint64_t after_ms = number_after(peek, length, "retry-after=", NULL);
    end_client(c);
    if (c->state == WAITING && after_ms > 0) c->retry_ms += (double)after_ms - RETRY_MS;
    return;
  }
  if (is_centrifuge) {
    if (opcode == 1 && length >= 2) take_lines(c, peek, length, c->lines + 1);
    return;
  }
  if (opcode != 1 || length < 16) return;
  if (memcmp(peek, "{\"type\":\"messag", 15) == 0) {
    messages++;
    c->messages++;
    bytes += c->payload_size;
    if (ack_mode) {
      uint64_t offset = number_after(peek, length, "\"offset\":", NULL);
      int is_new = topics_each > 0 ? take_of_many(c, peek, length, offset) : offset == 0 || offset > c->highest;
      if (!is_new) { repeated++; messages--; c->messages--; return; }
      c->highest = offset;
    }
    sample(c, peek, length, 1);
    return;
  }
  if (c->state == WELCOMING && memcmp(peek, "{\"type\":\"welcom", 15) == 0) { if (topics_each > 0) subscribe_many(c); else if (topic != NULL) subscribe(c); else go_live(c); }
  else if (c->state == SUBSCRIBING && memcmp(peek, "{\"type\":\"subscr", 15) == 0) { if (++c->answers >= (topics_each > 0 ? frames_of_topics() : 1)) go_live(c); }
  else if (memcmp(peek, "{\"type\":\"error\"", 15) == 0) fprintf(stderr, "%.*s\n", (int)length, peek);
}

/* Walks over the frames in what was read. Most payloads lie whole in the buffer and are not copied. */
static void scan(struct client *c, const char *at, size_t left) {
  while (left > 0 && c->state != CLOSED && c->state != WAITING) {
    if (c->header_have < c->header_need) {
      c->header[c->header_have++] = (uint8_t)*at++;
      left--;
      if (c->header_have == 2) {
        uint8_t size = c->header[1] & 127;
        c->header_need = size == 126 ? 4 : size == 127 ? 10 : 2;
      }
      if (c->header_have < c->header_need) continue;
      uint64_t size = c->header[1] & 127;
      if (c->header_need > 2) for (size = 0; c->header_need > 2 && c->header_have > 2; c->header_have--)
        size |= (uint64_t)c->header[c->header_have - 1] << (8 * (c->header_need - c->header_have));
      c->header_have = c->header_need;
      c->payload_size = c->payload_left = size;
      c->peek_have = 0;
      c->lines = 0;
      if (size > 0) continue;
    }
    size_t part = left < c->payload_left ? left : c->payload_left;
    if (is_centrifuge)
      for (const char *line = at, *end = at + part; (line = memchr(line, '\n', end - line)) != NULL; line++) c->lines++;
    if (part == c->payload_size) {
      c->payload_left = 0;
      c->header_have = 0;
      c->header_need = 2;
      take_frame(c, at, part < PEEK ? part : PEEK);
    } else { /* split over reads */
      if (c->peek == NULL) c->peek = malloc(PEEK);
      size_t room = PEEK - c->peek_have, copied = part < room ? part : room;
      memcpy(c->peek + c->peek_have, at, copied);
      c->peek_have += copied;
      c->payload_left -= part;
      if (c->payload_left == 0) {
        char *peek = c->peek;
        c->peek = NULL;
        c->header_have = 0;
        c->header_need = 2;
        take_frame(c, peek, c->peek_have);
        free(peek);
      }
    }
    at += part;
    left -= part;
  }
}

/* Acks of every topic of which something came with this read. */
static void ack_many(struct client *c) {
  char text[15 * 1024];
  for (uint32_t from = 0; from < c->dirty_count && c->state == LIVE; from += TOPICS_PER_FRAME) {
    size_t at = sprintf(text, "{\"type\":\"ack\",\"positions\":[");
    for (uint32_t i = from; i < c->dirty_count && i < from + TOPICS_PER_FRAME; i++) {
      uint32_t place = c->dirty[i];
      c->offsets[topics_each + place] = c->offsets[place];
      at += sprintf(text + at, "%s{\"stream\":\"b/%d\",\"offset\":%u}", i > from ? "," : "", topics_first + (first_topic(c) + (int)place) % topics_all, c->offsets[place]);
    }
    at += sprintf(text + at, "]}");
    acks++;
    send_frame(c, text, at);
  }
  c->dirty_count = 0;
}

static void readable(struct client *c) {
  ssize_t got = read(c->fd, buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) { end_client(c); return; }
  if (c->state == UPGRADING) {
    char *end = memmem(buffer, got, "\r\n\r\n", 4); /* 129 bytes in one segment on loopback */
    if (end == NULL || memcmp(buffer, "HTTP/1.1 101", 12) != 0) { end_client(c); return; }
    hello(c);
    if (c->state != CLOSED && c->state != WAITING) scan(c, end + 4, got - (end + 4 - buffer));
    return;
  }
  scan(c, buffer, got);
  if (c->dirty_count > 0 && c->state == LIVE) { ack_many(c); return; }
  if (ack_mode && c->state == LIVE && topics_each == 0 && c->highest > c->acked) {
    char text[128];
    int length = snprintf(text, sizeof text, "{\"type\":\"ack\",\"positions\":[{\"stream\":\"%s\",\"offset\":%llu}]}",
                          topic != NULL ? topic : "@normal", (unsigned long long)c->highest);
    c->acked = c->highest;
    acks++;
    send_frame(c, text, length);
  }
}

static int by_value(const void *a, const void *b) {
  float d = *(const float *)a - *(const float *)b;
  return d < 0 ? -1 : d > 0;
}

/* Latencies only in a report, and each client only where that is asked for: sorting and walking take time, and counts are asked for often. */
static void print_counts(int report, uint32_t from, int each) {
  uint32_t all = latency_count < LATENCIES_MAX ? latency_count : LATENCIES_MAX, n = !report || from > all ? 0 : all - from;
  float *sorted = malloc(sizeof(float) * (n + 1));
  memcpy(sorted, latencies + (n == 0 ? 0 : from), sizeof(float) * n);
  qsort(sorted, n, sizeof(float), by_value);
  printf("{\"opened\":%llu,\"live\":%llu,\"failed\":%llu,\"refused\":%llu,\"closed\":%llu,\"closeCode\":%u,\"messages\":%llu,\"repeated\":%llu,"
         "\"bytes\":%llu,\"acks\":%llu,\"sampled\":%u",
         (unsigned long long)opened, (unsigned long long)live, (unsigned long long)failed, (unsigned long long)refused, (unsigned long long)closed_later, close_code,
         (unsigned long long)messages, (unsigned long long)repeated, (unsigned long long)bytes, (unsigned long long)acks, all);
  uint32_t least = UINT32_MAX, most = 0;
  for (int i = 0; each && i < count; i++) if (clients[i].state == LIVE) {
    if (clients[i].messages < least) least = clients[i].messages;
    if (clients[i].messages > most) most = clients[i].messages;
  }
  printf(",\"least\":%u,\"most\":%u", least == UINT32_MAX ? 0 : least, most);
  if (n > 0) printf(",\"p50Ms\":%.2f,\"p99Ms\":%.2f,\"maxMs\":%.2f", sorted[n / 2], sorted[(uint64_t)n * 99 / 100], sorted[n - 1]);
  printf("}\n");
  fflush(stdout);
  free(sorted);
}

/* Commands of load.ts; false: the input ended. */
static int take_commands(void) {
  char text[256];
  ssize_t got = read(0, text, sizeof text - 1);
  if (got <= 0) return 0;
  text[got] = 0;
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    if (strcmp(line, "count") == 0) print_counts(0, 0, 0);
    else if (strcmp(line, "each") == 0) print_counts(0, 0, 1);
    else if (strncmp(line, "report ", 7) == 0) print_counts(1, (uint32_t)strtoul(line + 7, NULL, 10), 1);
    else if (strcmp(line, "reset") == 0) {
      messages = repeated = bytes = acks = latency_count = 0;
      for (int i = 0; i < count; i++) clients[i].messages = 0;
    }
  }
  return 1;
}

static void read_tokens(const char *path) {
  FILE *file = fopen(path, "r");
  size_t room = 0;
  if (file == NULL) { perror(path); exit(1); }
  for (int i = 0; i < count; i++) {
    ssize_t length = getline(&tokens[i], &room, file);
    if (length <= 0) { fprintf(stderr, "expected %d tokens, got %d\n", count, i); exit(1); }
    tokens[i][strcspn(tokens[i], "\n")] = 0;
    room = 0;
  }
  fclose(file);
}

int main(int argc, char **argv) {
  if (argc != 12) { fprintf(stderr, "expected host, ports, connections, opens per second, tokens file, topics, ack, latency, protocol, retry, ping seconds\n"); return 2; }
  retrying = atoi(argv[10]);
  double ping_ms = atof(argv[11]) * 1000;
  is_centrifuge = strcmp(argv[9], "centrifuge") == 0;
  if (sscanf(argv[6], "many:%d:%d:%d", &topics_all, &topics_each, &topics_first) == 3) argv[6] = "-";
  host = argv[1];
  count = atoi(argv[3]);
  double rate = atof(argv[4]);
  topic = strcmp(argv[6], "-") == 0 ? NULL : argv[6];
  ack_mode = atoi(argv[7]);
  sample_every = atoi(argv[8]);
  address.sin_family = AF_INET;
  for (char *port = strtok(argv[2], ","); port != NULL && port_count < 64; port = strtok(NULL, ",")) ports[port_count++] = atoi(port);
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) { fprintf(stderr, "host: expected an IPv4 address\n"); return 2; }
  clients = calloc(count, sizeof *clients);
  tokens = calloc(count, sizeof *tokens);
  latencies = malloc(sizeof(float) * LATENCIES_MAX);
  if (!is_centrifuge) read_tokens(argv[5]);
  epoll_fd = epoll_create1(0);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, events[1024];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input);
  printf("{\"ready\":true}\n");
  fflush(stdout);
  double started = now_ms(CLOCK_MONOTONIC), pinged = started;
  int next = 0, next_ping = 0;
  double next_retry = 0;
  for (;;) {
    int ready = epoll_wait(epoll_fd, events, 1024, next < count ? 1 : 50);
    for (int i = 0; i < ready; i++) {
      struct client *c = events[i].data.ptr;
      if (c == NULL) { if (!take_commands()) return 0; }
      else if (c->state == CONNECTING) { if (events[i].events & (EPOLLERR | EPOLLHUP)) end_client(c); else upgrade(c); }
      else if (c->state != CLOSED && c->state != WAITING) readable(c);
    }
    double now = now_ms(CLOCK_MONOTONIC);
    while (next < count && next < (now - started) * rate / 1000) start_client(&clients[next++]);
    if (retrying && now >= next_retry) {
      next_retry = now + 50;
      for (int i = 0; i < count; i++) if (clients[i].state == WAITING && clients[i].retry_ms <= now) start_client(&clients[i]);
    }
    /* Pings spread evenly over the interval. */
    int due = (int)((now - pinged) * count / ping_ms);
    for (int i = 0; i < due; i++, next_ping = (next_ping + 1) % count)
      if ((clients[next_ping].state == LIVE || clients[next_ping].state == SUBSCRIBING) && !is_centrifuge) send_frame(&clients[next_ping], "{\"type\":\"ping\"}", 15);
    if (due > 0) pinged += due * ping_ms / count;
  }
}
