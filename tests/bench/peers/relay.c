/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that a relay between an editor and a server can be: relay COMMAND [ARG...] runs the command and copies
 * bytes. */
#define _GNU_SOURCE
#include <poll.h>
#include <unistd.h>

static int copy(int from, int to) {
  static char buffer[65536];
  ssize_t got = read(from, buffer, sizeof buffer);
  if (got <= 0) return 0;
  for (ssize_t at = 0; at < got;) {
    ssize_t wrote = write(to, buffer + at, (size_t)(got - at));
    if (wrote <= 0) return 0;
    at += wrote;
  }
  return 1;
}

int main(int argc, char** argv) {
  int to[2], from[2];
  if (argc < 2 || pipe2(to, 02000000) != 0 || pipe2(from, 02000000) != 0) return 2;
  if (fork() == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  struct pollfd fds[2] = {{0, POLLIN, 0}, {from[0], POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) return 1;
    if (fds[0].revents != 0 && !copy(0, to[1])) return 0;
    if (fds[1].revents != 0 && !copy(from[0], 1)) return 0;
  }
}
