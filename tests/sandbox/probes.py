"""What code might try in order to get out of a sandbox: each probe must be refused, and says how.

A probe is a snippet that prints what it got. It passes if it printed the refusal that is named, and
if nothing of what it wanted is there. The same list is run on this machine and inside a container.
"""

from __future__ import annotations

from dataclasses import dataclass

# What a snippet has at hand: `attempt` prints the result of a call, or how it was refused.
PRELUDE = """
import ctypes, errno, os, signal, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)

def attempt(call, *arguments, **options):
    try:
        got = call(*arguments, **options)
    except BaseException as error:
        number = getattr(error, "errno", None)
        print("refused", errno.errorcode.get(number) or type(error).__name__)
    else:
        print("GOT", repr(got)[:200])

def syscall(name, *arguments):
    number = NUMBERS[name]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result
"""

NOT_PERMITTED, DENIED = "refused EPERM", "refused EACCES"


@dataclass(frozen=True)
class Probe:
    """Code, and every line that it prints when all that it tries is refused."""

    name: str
    code: str
    refusals: tuple[str, ...] = (NOT_PERMITTED,)


def files(name: str, *paths: str, refusals: tuple[str, ...] = (DENIED,)) -> Probe:
    return Probe(name, "\n".join(f"attempt(open, {path!r}, 'rb')" for path in paths), refusals)


def calls(name: str, *lines: str, refusals: tuple[str, ...] = (NOT_PERMITTED,)) -> Probe:
    return Probe(name, "\n".join(f"attempt({line})" for line in lines), refusals)


FAMILIES = """
for family in range(46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        attempt(syscall, "socket", family, int(kind), 0)
"""
OTHER_PROCESSES = """
for name in ("environ", "mem", "maps", "cmdline", "root", "cwd", "fd"):
    attempt(open, f"/proc/{PARENT}/{name}", "rb")
    attempt(open, f"/proc/{os.getppid()}/{name}", "rb")
"""
THREADS = """
import time
def bomb():
    started = []
    while len(started) < 1000:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        started.append(1)
    return len(started)
attempt(bomb)
"""
MEMORY = """
def hoard():
    kept = []
    while len(kept) < 4096:
        kept.append(bytearray(1 << 20))
    return len(kept)
attempt(hoard)
"""
MAPPED = """
import mmap
def hoard():
    kept = []
    while len(kept) < 4096:
        kept.append(mmap.mmap(-1, 1 << 20))
        kept[-1].write(b"x" * (1 << 20))
    return len(kept)
attempt(hoard)
"""
ONE_FILE = """
def fill():
    with open("large", "wb", buffering=0) as file:
        while file.tell() < 1 << 32:
            file.write(b"x" * (1 << 20))
    return file.tell()
attempt(fill)
"""
DESCRIPTORS = """
def hoard():
    kept = []
    while len(kept) < 4096:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    return len(kept)
attempt(hoard)
"""
INHERITED = """
import stat
for fd in range(4, 1024):
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        continue
    print("GOT", fd, oct(mode))
print("refused", "all closed")
"""
THROUGH_LINKS = """
os.symlink(SECRET, "link")
attempt(open, "link")
os.symlink("/", "top")
attempt(open, "top" + SECRET)
attempt(os.listdir, "top")
attempt(os.link, SECRET, "hard")
attempt(os.rename, SECRET, "moved")
attempt(os.rename, "link", os.path.dirname(SECRET) + "/link")
"""
THROUGH_DESCRIPTORS = """
folder = os.open("/", os.O_PATH)
attempt(os.open, SECRET.lstrip("/"), os.O_RDONLY, dir_fd=folder)
file = os.open(SECRET, os.O_PATH)
attempt(os.open, f"/proc/self/fd/{file}", os.O_RDONLY)
attempt(os.open, f"/dev/fd/{file}", os.O_RDONLY)
attempt(os.read, file, 10)
"""
SIGNALS = """
for process in (PARENT, os.getppid(), 1, -1, 0):
    attempt(os.kill, process, 0)
attempt(lambda: os.killpg(os.getpgid(PARENT), 0))
attempt(syscall, "tgkill", PARENT, PARENT, 0)
attempt(syscall, "tkill", PARENT, 0)
attempt(syscall, "rt_sigqueueinfo", PARENT, 0, None)
"""
SIGNALS_BY_DESCRIPTOR = """
import fcntl
reader, writer = os.pipe()
attempt(fcntl.fcntl, reader, 8, PARENT)
attempt(fcntl.fcntl, reader, 10, 9)
attempt(fcntl.fcntl, reader, 15, b"\\0" * 8)
"""
LIMITS = """
import resource
attempt(resource.prlimit, PARENT, resource.RLIMIT_NOFILE, (0, 0))
attempt(resource.setrlimit, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
attempt(syscall, "sched_setaffinity", PARENT, 8, b"\\x01" + b"\\0" * 7)
attempt(syscall, "setpriority", 0, PARENT, 19)
"""
CLONES = """
attempt(os.fork)
attempt(os.posix_spawn, sys.executable, [sys.executable], {})
attempt(__import__("subprocess").run, ["/bin/true"])
attempt(os.execv, "/bin/true", ["true"])
attempt(__import__("multiprocessing").Process(target=print).start)
attempt(syscall, "clone", 17, None, None, None, None)
attempt(syscall, "clone", 0x7E020000 | 17, None, None, None, None)
attempt(syscall, "vfork")
"""
FOREIGN_ARCHITECTURE = """
import mmap
# int 0x80: the calls of 32 bits, whose numbers mean something else.
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("b814000000cd80c3"))
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
print("GOT", ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""
KERNEL = (
    "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "ptrace", "process_vm_readv",
    "process_vm_writev", "pidfd_open", "pidfd_getfd", "bpf", "perf_event_open", "userfaultfd",
    "io_uring_setup", "keyctl", "add_key", "request_key", "init_module", "finit_module",
    "kexec_load", "reboot", "swapon", "sethostname", "settimeofday", "clock_settime",
    "name_to_handle_at", "open_by_handle_at", "fanotify_init", "memfd_create", "shmget", "msgget",
    "semget", "mq_open", "personality", "prctl", "seccomp", "landlock_restrict_self", "fsopen",
    "move_mount", "open_tree", "setuid", "setgid", "setgroups", "setresuid", "capset", "iopl",
    "acct", "quotactl", "syslog", "vhangup", "kcmp", "mknodat", "truncate",
)  # fmt: skip
METADATA = """
open("own", "w").close()
attempt(os.chmod, SECRET, 0o777)
attempt(os.chown, SECRET, os.getuid(), -1)
attempt(os.utime, SECRET)
attempt(os.truncate, SECRET, 0)
attempt(os.setxattr, SECRET, "user.x", b"1")
attempt(os.chmod, "own", 0o4777)
attempt(os.mkfifo, "fifo")
attempt(os.mknod, "device", 0o600 | 0o020000, os.makedev(1, 1))
"""
WRITES = """
for path in (SECRET, os.path.dirname(SECRET) + "/new", "/tmp/new", "/dev/shm/new", "/etc/new",
             os.__file__, sys.executable, "../new"):
    attempt(open, path, "ab")
for path in (SECRET, os.__file__):
    attempt(os.remove, path)
for path in (os.path.dirname(SECRET) + "/sub", "/tmp/sub", "../sub"):
    attempt(os.mkdir, path)
"""

PROBES = (
    Probe("the server's files", "attempt(open, SECRET)\nattempt(open, SERVER_FILE)", (DENIED,)),
    files("files of the machine", "/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/fstab",
          "/var/run/docker.sock", "/sys/kernel/notes", "/dev/mem", "/dev/kmsg", "/dev/tty",
          refusals=(DENIED, "refused ENOENT", "refused ENXIO")),
    calls("listing folders", "os.listdir, '/'", "os.listdir, '/tmp'", "os.listdir, '/etc'",
          "os.listdir, '/proc'", "os.listdir, '..'", "os.listdir, os.path.dirname(SECRET)",
          refusals=(DENIED,)),
    Probe("other processes' memory and environment", OTHER_PROCESSES, (DENIED, "refused ENOENT")),
    files("its own process", "/proc/self/mem", "/proc/self/environ", "/proc/self/maps",
          "/proc/self/fd/3", "/proc/self/task", "/proc/thread-self/attr/current",
          refusals=(DENIED, "refused ENXIO")),
    Probe("writing elsewhere", WRITES, (DENIED, NOT_PERMITTED, "refused ENOENT")),
    Probe("links", THROUGH_LINKS, (DENIED, NOT_PERMITTED, "refused EXDEV")),
    Probe("descriptors of paths", THROUGH_DESCRIPTORS, (DENIED, "refused EBADF")),
    Probe("inherited descriptors", INHERITED, ("refused all closed",)),
    Probe("modes, owners and times", METADATA, (NOT_PERMITTED,)),
    Probe("sockets of every family", FAMILIES),
    calls("pairs of sockets that name others", "socket.socketpair, socket.AF_UNIX, "
          "socket.SOCK_DGRAM", "socket.create_connection, ('127.0.0.1', 80)",
          "syscall, 'connect', 3, None, 0", "syscall, 'bind', 3, None, 0",
          "syscall, 'sendmsg', 3, None, 0", "syscall, 'sendto', 3, b'x', 1, 0, b'y', 16",
          "syscall, 'recvmsg', 3, None, 0"),
    Probe("signals", SIGNALS, (NOT_PERMITTED, "refused ESRCH")),
    Probe("signals by descriptors", SIGNALS_BY_DESCRIPTOR),
    Probe("limits of other processes and of its own", LIMITS,
          (NOT_PERMITTED, "refused ValueError")),
    Probe("processes", CLONES),
    Probe("calls of the kernel", f"for name in {KERNEL!r}:\n    if name in NUMBERS:\n"
          "        attempt(syscall, name, None, None, None, None, None)"),
    Probe("a bomb of threads", THREADS, ("refused RuntimeError",)),
    Probe("a bomb of memory", MEMORY, ("refused MemoryError",)),
    Probe("a bomb of mapped memory", MAPPED, ("refused ENOMEM",)),
    Probe("a bomb of descriptors", DESCRIPTORS, ("refused EMFILE",)),
    Probe("a file without end", ONE_FILE, ("refused EFBIG", "refused ENOSPC")),
)  # fmt: skip
