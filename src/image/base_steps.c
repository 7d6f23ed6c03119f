#include "image/steps.h"

#include "base/cleanup.h"

/*
 * No recommended packages, so what people take for granted is named. npm comes from Debian too: some
 * 330 small packages, half of the download, and no source of software beside the host's own.
 */
const char base_packages[] =
    "ca-certificates,curl,wget,gnupg,openssh-client,rsync,netcat-openbsd,iproute2,iputils-ping,"
    "sudo,procps,psmisc,lsof,less,nano,vim-tiny,file,tree,jq,ripgrep,patch,bash-completion,tzdata,"
    "unzip,zip,xz-utils,bzip2,zstd,git,build-essential,pkg-config,sqlite3,"
    "python3,python3-pip,python3-venv,python3-dev,python-is-python3,nodejs,npm,libnss-myhostname";

/* The end of /etc/profile, read by every login shell. */
static const char profile[] = "\n"
                              "export SHELL=/bin/bash\n"
                              "export LANG=\"${LANG:-C.UTF-8}\"\n"
                              "export PS1='\\w \\$ '\n"
                              "for i in ~/.bashrc ~/.profile; do\n"
                              "  if [ -r \"$i\" ]; then\n"
                              "    . \"$i\"\n"
                              "  fi\n"
                              "done\n"
                              "unset i\n";

/* Debian's .bashrc sets a prompt with the host's name; the last word is ours. */
static const char bashrc[] = "\nPS1='\\w \\$ '\n";

static const char hosts[] = "127.0.0.1\tlocalhost\n"
                            "::1\tlocalhost ip6-localhost ip6-loopback\n";

/* The gateway of every sandbox, see base/ids.h. */
static const char resolv_conf[] = "nameserver 169.254.0.22\n";

/* Debian refuses pip outside a virtual environment; a sandbox is one. */
static const char pip_conf[] = "[global]\n"
                               "break-system-packages = true\n";

const struct build_step base_steps[] = {
    {"Debian 12 packages", STEP_BOOTSTRAP},

    {"accounts", STEP_RUN,
     .argv = {"useradd", "--create-home", "--uid", "1000", "--user-group", "--groups", "sudo",
              "--shell", "/bin/bash", "user"}},
    {NULL, STEP_RUN, .argv = {"chmod", "0755", "/home/user"}},
    {NULL, STEP_WRITE, "/etc/sudoers.d/user", "user ALL=(ALL:ALL) NOPASSWD: ALL\n", 0440},
    {NULL, STEP_RUN, .argv = {"visudo", "--check", "--quiet"}},
    {NULL, STEP_APPEND, "/home/user/.bashrc", bashrc},
    {NULL, STEP_APPEND, "/root/.bashrc", bashrc},

    {"folders and settings", STEP_APPEND, "/etc/profile", profile},
    {NULL, STEP_WRITE, "/etc/default/locale", "LANG=C.UTF-8\n", 0644},
    {NULL, STEP_WRITE, "/etc/pip.conf", pip_conf, 0644},
    {NULL, STEP_WRITE, "/etc/hosts", hosts, 0644},
    {NULL, STEP_WRITE, "/etc/hostname", "sandbox\n", 0644},
    {NULL, STEP_WRITE, "/etc/resolv.conf", resolv_conf, 0644},
    {NULL, STEP_MAKE_DIR, "/code", .mode = 0777},
    {NULL, STEP_RUN, .argv = {"chmod", "-R", "0777", "/usr/local"}},
    /* its file capability asks for CAP_NET_RAW, which no sandbox has; ping sockets need none */
    {NULL, STEP_RUN, .argv = {"setcap", "-r", "/usr/bin/ping"}},

    {"cleaning", STEP_REMOVE, "/etc/apt/apt.conf.d/99mmdebstrap"},
    {NULL, STEP_REMOVE, "/usr/sbin/policy-rc.d"},
    {NULL, STEP_EMPTY_DIR, "/var/cache/apt"},
    {NULL, STEP_EMPTY_DIR, "/var/lib/apt/lists"},
    {NULL, STEP_EMPTY_DIR, "/var/cache/ldconfig"},
    {NULL, STEP_EMPTY_DIR, "/var/log/apt"},
    {NULL, STEP_REMOVE, "/var/log/dpkg.log"},
    {NULL, STEP_REMOVE, "/var/log/alternatives.log"},
    {NULL, STEP_REMOVE, "/var/log/bootstrap.log"},
    {NULL, STEP_REMOVE, "/var/lib/dbus/machine-id"},
    {NULL, STEP_EMPTY_DIR, "/tmp"},
    {NULL, STEP_WRITE, "/etc/machine-id", "", 0444},

    {"publishing", STEP_IDENTITY},
    {NULL, STEP_PUBLISH},
};

const size_t n_base_steps = ARRAY_LEN(base_steps);
