/*
 * pause holds a pod's namespaces open. One runs per pod for as long as the pod
 * lives, so it is made of system calls only: no libc, no heap, no thread, a few
 * pages resident.
 *
 * It is the pod's init when the pod shares its PID namespace, so it collects
 * orphans; and it ends at once on SIGTERM or SIGINT, where an init without a
 * handler would ignore them and make every deletion wait for SIGKILL.
 *
 * Build: gcc -Os -static -nostdlib -nostartfiles -ffreestanding -fno-builtin
 *            -fno-stack-protector -fno-pie -no-pie -fno-asynchronous-unwind-tables
 *            -Wl,--build-id=none,-z,noseparate-code,-z,norelro -s -o pause pause.c
 */

#if defined(__x86_64__)

enum { SYS_wait4 = 61, SYS_exit = 60, SYS_rt_sigprocmask = 14, SYS_rt_sigtimedwait = 128, SYS_close_range = 436 };

static long call4(long n, long a, long b, long c, long d)
{
	long ret;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

enum { SYS_wait4 = 260, SYS_exit = 93, SYS_rt_sigprocmask = 135, SYS_rt_sigtimedwait = 137, SYS_close_range = 436 };

static long call4(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}

#else
#error "pause: add the system call numbers of this architecture"
#endif

enum { SIG_BLOCK = 0, SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, WNOHANG = 1 };

#define BIT(sig) (1UL << ((sig) - 1))

void _start(void)
{
	unsigned long set = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);

	/* What the starter left open is its own business, and pause lives long. */
	call4(SYS_close_range, 3, ~0U, 0, 0);
	/*
	 * Blocked and waited for, not handled: no handler means no signal
	 * trampoline, and nothing can arrive between a check and a sleep.
	 */
	call4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, sizeof(set));
	for (;;) {
		/* Children may have ended before the first wait, or several at once. */
		while (call4(SYS_wait4, -1, 0, WNOHANG, 0) > 0)
			;
		switch (call4(SYS_rt_sigtimedwait, (long)&set, 0, 0, sizeof(set))) {
		case SIGINT:
		case SIGTERM:
			call4(SYS_exit, 0, 0, 0, 0);
		}
	}
}
