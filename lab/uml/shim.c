/*
 * LD_PRELOAD shim for the user-mode-linux kernel process. It replaces ptrace(2) for two reasons.
 *
 * 1. Safety. User-mode Linux runs its guest processes as traced processes of the host. When the
 *    kernel process dies by SIGKILL, traced processes without PTRACE_O_EXITKILL are set free and
 *    go on running natively on the host, as its user, with the guest's code. So every SETOPTIONS
 *    gets that option added.
 *
 * 2. Registers. Linux 6.1's user-mode Linux passes an xstate buffer of fixed size. On a CPU with
 *    larger state (AMX) the host refuses to set it. So a set reads the whole state first, lays the
 *    caller's bytes over it and writes all of it back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	PEEKTEXT = 1, PEEKUSER = 3,
	OLDSETOPTIONS = 21,
	SETOPTIONS = 0x4200, GETREGSET = 0x4204, SETREGSET = 0x4205,
	NT_X86_XSTATE = 0x202,
};
#define EXITKILL 0x100000L

static unsigned char xstate[65536] __attribute__((aligned(64)));

static long set_xstate(pid_t pid, void *type, const struct iovec *from)
{
	struct iovec whole = { xstate, sizeof xstate };
	if (syscall(SYS_ptrace, GETREGSET, pid, type, &whole) < 0)
		return -1;
	memcpy(xstate, from->iov_base, from->iov_len < whole.iov_len ? from->iov_len : whole.iov_len);
	return syscall(SYS_ptrace, SETREGSET, pid, type, &whole);
}

long ptrace(int req, ...)
{
	va_list ap;
	va_start(ap, req);
	pid_t pid = va_arg(ap, pid_t);
	void *addr = va_arg(ap, void *);
	void *data = va_arg(ap, void *);
	va_end(ap);

	if (req == SETREGSET && (long)addr == NT_X86_XSTATE)
		return set_xstate(pid, addr, data);
	if (req == SETOPTIONS || req == OLDSETOPTIONS)
		data = (void *)((long)data | EXITKILL);
	if (req >= PEEKTEXT && req <= PEEKUSER) { /* the C library's convention: the word is the result */
		long word;
		if (syscall(SYS_ptrace, req, pid, addr, &word) < 0)
			return -1;
		errno = 0;
		return word;
	}
	return syscall(SYS_ptrace, req, pid, addr, data);
}
