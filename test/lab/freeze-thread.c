/*
 * freeze-thread TID: stops one thread of a process, while the others go on (ptrace(2)), until it is killed: a thread whose tracer
 * ends runs again. Prints "ready" when the thread stands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  pid_t tid = argc > 1 ? atoi(argv[1]) : 0;
  if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0 || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 ||
      waitpid(tid, NULL, __WALL) != tid) {
    perror("freeze-thread");
    return 1;
  }
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
