/* The bare system calls that any rootless start of a sandbox like Carrier's must make: a clock to
 * measure engines against.
 *
 * usage: floor LOWER PROGRAM [ARGUMENT]...    as an ordinary user with subordinate ids
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void must(const char *what, long result) {
    if (result < 0) {
        fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        _exit(99);
    }
}

/* The first range of the user in /etc/subuid or /etc/subgid. */
static void range_of(const char *file, const char *user, char *start, char *count) {
    char line[256];
    FILE *ranges = fopen(file, "r");
    size_t length = strlen(user);
    while (ranges && fgets(line, sizeof line, ranges))
        if (!strncmp(line, user, length) && line[length] == ':' &&
            sscanf(line + length + 1, "%31[0-9]:%31[0-9]", start, count) == 2) {
            fclose(ranges);
            return;
        }
    fprintf(stderr, "floor: %s has no range for %s\n", file, user);
    exit(98);
}

static pid_t map_ids(const char *helper, const char *pid, const char *own, const char *file,
                     const char *user) {
    char start[32], count[32];
    pid_t child;
    range_of(file, user, start, count);
    char *arguments[] = {(char *)helper, (char *)pid, "0", (char *)own, "1",
                         "1",            start,       count, NULL};
    must(helper, -posix_spawnp(&child, helper, NULL, NULL, arguments, environ));
    return child;
}

static void devices(void) {
    const char *nodes[] = {"null", "zero", "full", "tty", "random", "urandom"};
    char from[32], to[32];
    for (size_t i = 0; i < 6; i++) {
        snprintf(from, sizeof from, "/dev/%s", nodes[i]);
        snprintf(to, sizeof to, "dev/%s", nodes[i]);
        close(open(to, O_CREAT | O_WRONLY, 0644));
        must(to, mount(from, to, NULL, MS_BIND, NULL));
    }
    mkdir("dev/pts", 0755);
    mkdir("dev/shm", 0755);
    mkdir("dev/mqueue", 0755);
}

static void hide(void) {
    const char *masked[] = {"proc/acpi", "proc/interrupts", "proc/kcore", "proc/keys",
                            "proc/timer_list", "sys/firmware"};
    const char *protected[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
    const unsigned long closed = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
    struct stat status;
    for (size_t i = 0; i < 6; i++) {
        if (stat(masked[i], &status))
            continue;
        if (S_ISDIR(status.st_mode))
            must(masked[i], mount("none", masked[i], "tmpfs", closed, NULL));
        else
            must(masked[i], mount("/dev/null", masked[i], NULL, MS_BIND, NULL));
    }
    for (size_t i = 0; i < 5; i++) {
        if (mount(protected[i], protected[i], NULL, MS_BIND | MS_REC, NULL))
            continue;
        must(protected[i], mount(NULL, protected[i], NULL, MS_BIND | MS_REMOUNT | closed, NULL));
    }
}

static void sandbox(const char *lower, const char *base, char **program) {
    char overlay[1024], root[256];
    const unsigned long quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    snprintf(root, sizeof root, "%s/root", base);
    snprintf(overlay, sizeof overlay,
             "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,userxattr", lower, base, base);
    must("group", setresgid(0, 0, 0));
    must("user", setresuid(0, 0, 0));
    must("propagation", mount("", "/", NULL, MS_REC | MS_SLAVE, NULL));
    must("overlay", mount("overlay", root, "overlay", 0, overlay));
    must("chdir", chdir(root));
    mkdir("proc", 0755), mkdir("dev", 0755), mkdir("sys", 0755);
    must("proc", mount("proc", "proc", "proc", quiet, NULL));
    must("sysfs", mount("sysfs", "sys", "sysfs", quiet | MS_RDONLY, NULL));
    must("dev", mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k"));
    devices();
    must("devpts", mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                         "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    must("shm", mount("shm", "dev/shm", "tmpfs", quiet, "mode=1777,size=65536k"));
    must("mqueue", mount("mqueue", "dev/mqueue", "mqueue", quiet, NULL));
    hide();
    must("pivot_root", syscall(SYS_pivot_root, ".", "."));
    must("umount", umount2(".", MNT_DETACH));
    must("chdir", chdir("/"));
    must("hostname", sethostname("floor", 5));
    for (int capability = 0; capability < 41; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    must("no-new-privileges", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    struct sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog filter = {1, allow};
    must("seccomp", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
    execvp(program[0], program);
    perror("floor: exec");
    _exit(127);
}

int main(int argc, char **argv) {
    char base[64], path[128], pid[16], uid[16], gid[16];
    const char *directories[] = {"", "/root", "/upper", "/work"};
    int gate[2], status, failed = 0;
    if (argc < 3)
        return 2;
    snprintf(base, sizeof base, "/var/tmp/floor-%d", getpid());
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", base, directories[i]);
        must(path, mkdir(path, 0755));
    }
    must("pipe", pipe2(gate, O_CLOEXEC));
    struct clone_args arguments = {.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                                            CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
                                            CLONE_NEWNET,
                                   .exit_signal = SIGCHLD};
    pid_t child = syscall(SYS_clone3, &arguments, sizeof arguments);
    must("clone3", child);
    if (child == 0) {
        char byte;
        close(gate[1]);
        must("gate", read(gate[0], &byte, 1) == 1 ? 0 : -1);
        sandbox(argv[1], base, argv + 2);
    }
    const char *user = getpwuid(getuid())->pw_name;
    snprintf(pid, sizeof pid, "%d", child);
    snprintf(uid, sizeof uid, "%d", getuid());
    snprintf(gid, sizeof gid, "%d", getgid());
    pid_t helpers[] = {map_ids("newuidmap", pid, uid, "/etc/subuid", user),
                       map_ids("newgidmap", pid, gid, "/etc/subgid", user)};
    for (size_t i = 0; i < 2; i++) {
        waitpid(helpers[i], &status, 0);
        failed |= status;
    }
    if (failed || write(gate[1], "g", 1) != 1)
        return 98;
    waitpid(child, &status, 0);
    const char *made[] = {"/upper/proc", "/upper/dev", "/upper/sys", "/upper", "/work/work", "/work", "/root", ""};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(path, sizeof path, "%s%s", base, made[i]);
        rmdir(path);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}
