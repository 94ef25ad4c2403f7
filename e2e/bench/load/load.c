/* Load generator for the benches: many WebSocket clients of one gateway in one process, on raw sockets and epoll. It says hello with tokens
 * minted beforehand, subscribes, counts message frames by their headers without parsing them, and acks cumulatively when asked. Node would
 * use more of the machine than what it measures. load.ts compiles and starts it; e2e/bench/README.md tells what it was checked against.
 *
 *   load <host> <port> <connections> <opens per second> <tokens file> <topic or -> <ack: 0|1> <latency: every nth message, 0 none>
 *
 * Standard input: "count\n" prints one JSON line with the counts so far, "report\n" one with latencies too; "reset\n" sets messages, bytes and latencies to zero; end: stops.
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
#define PING_SECONDS 20

enum state { CONNECTING, UPGRADING, WELCOMING, SUBSCRIBING, LIVE, CLOSED };

struct client {
  int fd;
  uint8_t state;
  uint8_t header[10];          /* of the frame under way */
  uint8_t header_have, header_need;
  uint16_t peek_have;
  uint64_t payload_left, payload_size;
  uint64_t acked, highest;     /* offsets */
  uint32_t messages;
  char *peek;                  /* only while a payload is split over two reads */
};

static struct client *clients;
static char **tokens;
static int count, ack_mode, sample_every, epoll_fd;
static const char *host, *topic;
static struct sockaddr_in address;
static char buffer[READ_BYTES];
static uint64_t opened, live, failed, closed_later, messages, repeated, bytes, acks;
static uint16_t close_code;
static float *latencies;
static uint32_t latency_count;

static double now_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000.0 + t.tv_nsec / 1e6;
}

static void end_client(struct client *c) {
  if (c->state == CLOSED) return;
  if (c->state == LIVE) { live--; closed_later++; } else failed++;
  c->state = CLOSED;
  close(c->fd);
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
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) { end_client(c); return; }
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void upgrade(struct client *c) {
  char request[512];
  int length = snprintf(request, sizeof request,
    "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: pushcluster.v1.json\r\n\r\n", host);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
  c->state = UPGRADING;
  if (write(c->fd, request, length) != length) end_client(c);
}

static void hello(struct client *c) {
  char text[12 * 1024];
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

/* One frame has arrived whole; `peek` is its start. */
static void take_frame(struct client *c, const char *peek, size_t length) {
  uint8_t opcode = c->header[0] & 15;
  if (opcode == 8) {
    if (length >= 2) close_code = (uint16_t)((uint8_t)peek[0] << 8 | (uint8_t)peek[1]);
    end_client(c);
    return;
  }
  if (opcode != 1 || length < 16) return;
  if (memcmp(peek, "{\"type\":\"messag", 15) == 0) {
    messages++;
    c->messages++;
    bytes += c->payload_size;
    if (ack_mode) {
      uint64_t offset = number_after(peek, length, "\"offset\":", NULL);
      if (offset != 0 && offset <= c->highest) { repeated++; messages--; c->messages--; return; }
      c->highest = offset;
    }
    if (sample_every != 0 && c->messages % sample_every == 0) {
      double sent = 0;
      number_after(peek, length, "\"t\":", &sent);
      if (sent > 0) latencies[latency_count++ & (LATENCIES_MAX - 1)] = (float)(now_ms(CLOCK_REALTIME) - sent);
    }
    return;
  }
  if (c->state == WELCOMING && memcmp(peek, "{\"type\":\"welcom", 15) == 0) { if (topic != NULL) subscribe(c); else go_live(c); }
  else if (c->state == SUBSCRIBING && memcmp(peek, "{\"type\":\"subscr", 15) == 0) go_live(c);
  else if (memcmp(peek, "{\"type\":\"error\"", 15) == 0) fprintf(stderr, "%.*s\n", (int)length, peek);
}

/* Walks over the frames in what was read. Most payloads lie whole in the buffer and are not copied. */
static void scan(struct client *c, const char *at, size_t left) {
  while (left > 0 && c->state != CLOSED) {
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
      if (size > 0) continue;
    }
    size_t part = left < c->payload_left ? left : c->payload_left;
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

static void readable(struct client *c) {
  ssize_t got = read(c->fd, buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) { end_client(c); return; }
  if (c->state == UPGRADING) {
    char *end = memmem(buffer, got, "\r\n\r\n", 4); /* 129 bytes in one segment on loopback */
    if (end == NULL || memcmp(buffer, "HTTP/1.1 101", 12) != 0) { end_client(c); return; }
    hello(c);
    if (c->state != CLOSED) scan(c, end + 4, got - (end + 4 - buffer));
    return;
  }
  scan(c, buffer, got);
  if (ack_mode && c->state == LIVE && c->highest > c->acked) {
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

/* Latencies only in a report: sorting them takes time. */
static void print_counts(int report) {
  uint32_t n = !report ? 0 : latency_count < LATENCIES_MAX ? latency_count : LATENCIES_MAX;
  float *sorted = malloc(sizeof(float) * (n + 1));
  memcpy(sorted, latencies, sizeof(float) * n);
  qsort(sorted, n, sizeof(float), by_value);
  printf("{\"opened\":%llu,\"live\":%llu,\"failed\":%llu,\"closed\":%llu,\"closeCode\":%u,\"messages\":%llu,\"repeated\":%llu,"
         "\"bytes\":%llu,\"acks\":%llu,\"sampled\":%u",
         (unsigned long long)opened, (unsigned long long)live, (unsigned long long)failed, (unsigned long long)closed_later, close_code,
         (unsigned long long)messages, (unsigned long long)repeated, (unsigned long long)bytes, (unsigned long long)acks, n);
  uint32_t least = UINT32_MAX, most = 0;
  for (int i = 0; i < count; i++) if (clients[i].state == LIVE) {
    if (clients[i].messages < least) least = clients[i].messages;
    if (clients[i].messages > most) most = clients[i].messages;
  }
  printf(",\"least\":%u,\"most\":%u", live > 0 ? least : 0, most);
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
    if (strcmp(line, "count") == 0) print_counts(0);
    else if (strcmp(line, "report") == 0) print_counts(1);
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
  if (argc != 9) { fprintf(stderr, "expected host, port, connections, opens per second, tokens file, topic or -, ack, latency\n"); return 2; }
  host = argv[1];
  count = atoi(argv[3]);
  double rate = atof(argv[4]);
  topic = strcmp(argv[6], "-") == 0 ? NULL : argv[6];
  ack_mode = atoi(argv[7]);
  sample_every = atoi(argv[8]);
  address.sin_family = AF_INET;
  address.sin_port = htons(atoi(argv[2]));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) { fprintf(stderr, "host: expected an IPv4 address\n"); return 2; }
  clients = calloc(count, sizeof *clients);
  tokens = calloc(count, sizeof *tokens);
  latencies = malloc(sizeof(float) * LATENCIES_MAX);
  read_tokens(argv[5]);
  epoll_fd = epoll_create1(0);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, events[1024];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input);
  printf("{\"ready\":true}\n");
  fflush(stdout);
  double started = now_ms(CLOCK_MONOTONIC), pinged = started;
  int next = 0, next_ping = 0;
  for (;;) {
    int ready = epoll_wait(epoll_fd, events, 1024, next < count ? 1 : 50);
    for (int i = 0; i < ready; i++) {
      struct client *c = events[i].data.ptr;
      if (c == NULL) { if (!take_commands()) return 0; }
      else if (c->state == CONNECTING) { if (events[i].events & (EPOLLERR | EPOLLHUP)) end_client(c); else upgrade(c); }
      else if (c->state != CLOSED) readable(c);
    }
    double now = now_ms(CLOCK_MONOTONIC);
    while (next < count && next < (now - started) * rate / 1000) start_client(&clients[next++]);
    /* Pings spread evenly over the interval. */
    int due = (int)((now - pinged) * count / (PING_SECONDS * 1000.0));
    for (int i = 0; i < due; i++, next_ping = (next_ping + 1) % count)
      if (clients[next_ping].state == LIVE) send_frame(&clients[next_ping], "{\"type\":\"ping\"}", 15);
    if (due > 0) pinged += due * PING_SECONDS * 1000.0 / count;
  }
}
