/*
 * The benchmark's own small programs, the same for every overlay. iperf3 has no request and response, and starting it for each
 * step of a bisection takes longer than the step.
 *
 *   probe answer PORT                 answers each byte of a TCP connection by one
 *   probe ask ADDRESS PORT SECONDS    asks such a program byte by byte; prints "count p50 p99" (µs)
 *   probe sink PORT                   receives UDP; for each line of standard input prints "received dropped" since the last
 *                                     one: dropped were those that found the socket's buffer full
 *   probe send ADDRESS PORT           for each line "BYTES RATE MS" sends so many datagrams a second; prints how many it sent
 *   probe spin                        takes a core until it is killed
 *
 * Each prints "ready" first, but for ask and spin.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* So many round trips are kept for the percentiles: 8 s at 250,000 a second. */
#define SAMPLES 2000000
/* A sender that sleeps for less is late each time; iperf3 has the same interval. */
#define PERIOD_NS 1000000
#define BATCH 64
#define LARGEST 65536

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static void wait_until(uint64_t ns) {
  struct timespec t = { ns / 1000000000u, ns % 1000000000u };
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

static struct sockaddr_in at(const char *address, const char *port) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
  if (address && inet_pton(AF_INET, address, &a.sin_addr) != 1) {
    fprintf(stderr, "%s is no address\n", address);
    exit(2);
  }
  return a;
}

static int opened(int type, const char *address, const char *port) {
  int fd = socket(AF_INET, type, 0), yes = 1;
  struct sockaddr_in a = at(address, port);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (address ? connect(fd, (void *)&a, sizeof a) : bind(fd, (void *)&a, sizeof a)) fail(address ? "connect" : "bind");
  return fd;
}

static void without_delay(int fd) {
  int yes = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes)) fail("TCP_NODELAY");
}

static void say_ready(void) {
  puts("ready");
  fflush(stdout);
}

_Noreturn static void answer(const char *port) {
  int listener = opened(SOCK_STREAM, NULL, port);
  if (listen(listener, 8)) fail("listen");
  say_ready();
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    char byte;
    if (fd < 0) fail("accept");
    without_delay(fd);
    while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1) {}
    close(fd);
  }
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static int ask(const char *address, const char *port, double seconds) {
  int fd = opened(SOCK_STREAM, address, port);
  uint32_t *times = malloc(SAMPLES * sizeof *times);
  size_t count = 0;
  char byte = 0;
  uint64_t begin = now(), last = begin, end = begin + (uint64_t)(seconds * 1e9);
  if (!times) fail("malloc");
  without_delay(fd);
  while (last < end && count < SAMPLES) {
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) fail("round trip");
    uint64_t t = now();
    times[count++] = t - last > UINT32_MAX ? UINT32_MAX : (uint32_t)(t - last);
    last = t;
  }
  qsort(times, count, sizeof *times, by_value);
  printf("%zu %.2f %.2f\n", count, times[count / 2] / 1e3, times[count * 99 / 100] / 1e3);
  return 0;
}

static int sink(const char *port) {
  static char buffers[BATCH][LARGEST];
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  int fd = opened(SOCK_DGRAM, NULL, port);
  uint64_t received = 0;
  uint32_t dropped = 0;
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){ buffers[i], LARGEST };
    messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
  }
  say_ready();
  struct pollfd both[2] = { { .fd = fd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
  for (;;) {
    char line[64];
    if (poll(both, 2, -1) < 0) fail("poll");
    if (both[0].revents) {
      int n;
      while ((n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL)) > 0) received += n;
    }
    if (both[1].revents) {
      uint32_t info[SK_MEMINFO_VARS];
      socklen_t size = sizeof info;
      if (read(0, line, sizeof line) <= 0) return 0;
      if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size)) fail("SO_MEMINFO");
      printf("%llu %u\n", (unsigned long long)received, info[SK_MEMINFO_DROPS] - dropped);
      fflush(stdout);
      received = 0;
      dropped = info[SK_MEMINFO_DROPS];
    }
  }
}

static int send_at(const char *address, const char *port) {
  static char data[LARGEST];
  int fd = opened(SOCK_DGRAM, address, port);
  char line[128];
  say_ready();
  while (fgets(line, sizeof line, stdin)) {
    unsigned bytes, rate, ms;
    uint64_t sent = 0, begin, end;
    if (sscanf(line, "%u %u %u", &bytes, &rate, &ms) != 3 || bytes > LARGEST) return 2;
    begin = now();
    end = begin + (uint64_t)ms * 1000000u;
    uint64_t skipped = 0;
    for (uint64_t next = begin; next < end; next += PERIOD_NS) {
      uint64_t late = (now() - next) / PERIOD_NS;
      /* A sender that was late for some periods does not send a burst of all that it missed. */
      skipped += rate * late * (PERIOD_NS / 1000) / 1000000u;
      next += late * PERIOD_NS;
      uint64_t due = rate * ((next + PERIOD_NS - begin) / 1000) / 1000000u;
      while (sent + skipped < due) {
        /* A full device queue loses it, as it does for any program: it counts as sent. */
        if (send(fd, data, bytes, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED) fail("send");
        sent++;
      }
      wait_until(next + PERIOD_NS);
    }
    printf("%llu\n", (unsigned long long)sent);
    fflush(stdout);
  }
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "answer") && argc == 3) answer(argv[2]);
  if (!strcmp(what, "ask") && argc == 5) return ask(argv[2], argv[3], atof(argv[4]));
  if (!strcmp(what, "sink") && argc == 3) return sink(argv[2]);
  if (!strcmp(what, "send") && argc == 4) return send_at(argv[2], argv[3]);
  if (!strcmp(what, "spin") && argc == 2)
    for (volatile unsigned n = 0;; n++) {}
  fprintf(stderr, "probe answer|ask|sink|send|spin: see its source\n");
  return 2;
}
