/*
 * A machine that wakes as a clone: what its launch file may say, what is taken over from it, and what
 * becomes of the system, which is a folder and a record of calls here. Needs no root.
 */
// deps: envd uv
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "envd/envd.h"

#include <fcntl.h>
#include <sys/stat.h>

#define ID_A    "iaaaaaaaaaaaaaaaaaaaa"
#define ID_B    "ibbbbbbbbbbbbbbbbbbbb"
#define ENTROPY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1F"
#define LAUNCH(id, secret, more)                                                                   \
    "{\"sandboxId\":\"" id "\",\"templateId\":\"t\",\"controlSecret\":\"" secret                   \
    "\",\"machine\":true,\"entropy\":\"" ENTROPY "\"" more "}\n\n\n"
#define STAMP_NS (INT64_C(1767225600) * (int64_t)NS_PER_S) /* 2026-01-01T00:00:00Z */

static char folder[] = "/tmp/silica-test-machine-XXXXXX";
static int top = -EBADF;
static struct envd e;

/* The system. `order` has a letter for each call: E entropy, H hostname, C clock. */
static struct {
    char order[16], hostname[64];
    unsigned char entropy[CONFIG_ENTROPY_BYTES];
    int64_t now_ns;
    int fail; /* what calls return: 0 or a negative errno */
    char fails;
} sys;

static int call(char letter)
{
    sys.order[strlen(sys.order)] = letter;
    return sys.fails == letter ? sys.fail : 0;
}

static int fake_entropy(const unsigned char bytes[static CONFIG_ENTROPY_BYTES])
{
    memcpy(sys.entropy, bytes, sizeof(sys.entropy));
    return call('E');
}

static int fake_hostname(const char *name)
{
    (void)slice_copy(slice_str(name), sys.hostname, sizeof(sys.hostname));
    return call('H');
}

static int64_t fake_clock(void)
{
    return sys.now_ns;
}

static int fake_set_clock(int64_t ns)
{
    int r = call('C');
    if (r == 0)
        sys.now_ns = ns;
    return r;
}

static const struct machine_effects fake = {
    .add_entropy = fake_entropy,
    .set_hostname = fake_hostname,
    .clock_ns = fake_clock,
    .set_clock_ns = fake_set_clock,
};

static void put(const char *name, const char *text)
{
    assert_int_equal(fs_put_file(top, name, slice_str(text), 0644), 0);
}

static void assert_file(const char *name, const char *want)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    assert_int_equal(fs_read_file(top, name, &text, NULL), 0);
    assert_string_equal(buf_str(&text), want);
}

static int look(const char *launch, struct err *err)
{
    put("launch", launch);
    return machine_look(&e, err);
}

static int become(const char *init, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;
    assert_int_equal(json_parse(slice_str(init), &doc, err), 0);
    struct json_ref root = json_root(doc);
    int r = machine_become(&e, &root, err);
    return r < 0 ? r : settings_apply(&e.settings, &root, err);
}

/* The daemon of the template's machine, as the snapshot has it; its file system is the folder. */
static int setup(void **state)
{
    struct err err;
    char text[600];
    (void)state;
    memset(&sys, 0, sizeof(sys));
    assert_int_equal(fs_remove_tree(top, "etc", &err), 0);
    assert_int_equal(fs_remove_tree(top, "run", &err), 0);
    assert_int_equal(mkdirat(top, "etc", 0755), 0);
    assert_int_equal(mkdirat(top, "run", 0755), 0);
    (void)snprintf(text, sizeof(text),
                   "{\"sandboxId\":\"" ID_A "\",\"templateId\":\"\",\"controlSecret\":\"old\","
                   "\"machine\":true,\"launchFile\":\"%s/launch\",\"cgroupFds\":[5]}",
                   folder);
    memset(&e, 0, sizeof(e));
    e.loop = uv_default_loop();
    assert_int_equal(config_parse(slice_str(text), &e.config, &err), 0);
    assert_int_equal(settings_init(&e.settings, true, e.config.sandbox_id, ""), 0);
    limits_init(&e.limits, &e.config);
    process_table_init(&e.processes, e.loop, &e.limits);
    metrics_init(&e.metrics, &e.config);
    machine_init(&e.machine, &e.config, &fake, folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    settings_done(&e.settings);
    process_forget_exits(&e.processes);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    log_setup("test", LOG_ERROR, false);
    top = mkdtemp(folder) != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return top >= 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    top = fd_close(top);
    return fs_remove_tree(AT_FDCWD, folder, NULL);
}

static void test_members(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"controlSecret\":\"s\",\"machine\":1}", "machine"},
        {"{\"controlSecret\":\"s\",\"entropy\":\"00\"}", "entropy"},
        {"{\"controlSecret\":\"s\",\"entropy\":\"" ENTROPY "0\"}", "entropy"},
        {"{\"controlSecret\":\"s\",\"entropy\":\"" ENTROPY "00\"}", "entropy"},
        {"{\"controlSecret\":\"s\",\"entropy\":7}", "entropy"},
        {"{\"controlSecret\":\"s\",\"machine\":true,\"launchFile\":\"x\"}", "launchFile"},
    };
    struct envd_config c;
    (void)state;
    assert_int_equal(config_parse(SLICE_LIT(LAUNCH(ID_A, "s", "")), &c, NULL), 0);
    assert_true(c.machine && c.has_entropy);
    assert_int_equal(c.entropy[1], 1);
    assert_int_equal(c.entropy[31], 0x1f);
    assert_string_equal(c.launch_file, "/sys/firmware/qemu_fw_cfg/by_name/opt/silica/launch/raw");
    assert_int_equal(
        config_parse(SLICE_LIT("{\"controlSecret\":\"s\",\"launchFile\":\"/x\"}"), &c, NULL), 0);
    assert_false(c.machine || c.has_entropy);
    assert_string_equal(c.launch_file, "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        assert_int_equal(config_parse(slice_str(bad[i].text), &c, &err), -EINVAL);
        if (strstr(err.msg, bad[i].says) == NULL)
            fail_msg("'%s' says '%s'", bad[i].text, err.msg);
    }
}

/* No secret is accepted then, and nothing of the file is taken over. */
static void test_bad_files(void **state)
{
    static const char *const bad[] = {
        "",
        "\n\n\n",
        "{\"sandboxId\":\"" ID_B "\"",
        "{\"controlSecret\":\"new\" \"oops-the-secret\"}",
        LAUNCH("", "new", ""),
        LAUNCH("../../etc", "new", ""),
        LAUNCH(ID_B "b", "new", ""),
        LAUNCH(ID_B, "", ""),
        LAUNCH(ID_B, "new", ",\"listenFd\":4"),
        LAUNCH(ID_B, "new", ",\"cgroupFds\":[4]"),
        LAUNCH(ID_B, "new", ",\"pidsEventsFd\":4"),
        "{\"sandboxId\":\"" ID_B "\",\"controlSecret\":\"new\",\"entropy\":\"" ENTROPY "\"}",
        "{\"sandboxId\":\"" ID_B "\",\"controlSecret\":\"new\",\"machine\":true}",
    };
    struct err err = {0};
    char large[CONFIG_LAUNCH_FILE_MAX_BYTES + 2];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (look(bad[i], &err) >= 0)
            fail_msg("accepted: %s", bad[i]);
        assert_non_null(strstr(err.msg, "launch file"));
        assert_null(strstr(err.msg, "oops"));
        assert_string_equal(e.config.sandbox_id, ID_A);
        assert_string_equal(e.config.control_secret, "old");
        assert_false(e.machine.changed);
    }
    assert_int_equal(unlinkat(top, "launch", 0), 0);
    assert_int_equal(machine_look(&e, &err), -ENOENT);
    memset(large, '\n', sizeof(large));
    memcpy(large, LAUNCH(ID_B, "new", ""), strlen(LAUNCH(ID_B, "new", "")));
    large[CONFIG_LAUNCH_FILE_MAX_BYTES + 1] = '\0';
    assert_int_equal(look(large, &err), -EFBIG);
    large[CONFIG_LAUNCH_FILE_MAX_BYTES] = '\0'; /* padded as far as it may be */
    assert_int_equal(look(large, &err), 0);
    assert_string_equal(e.config.control_secret, "new");
}

static void test_same_machine(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(look(LAUNCH(ID_A, "old", ",\"memoryBytes\":5"), &err), 0);
    assert_int_equal(become("{}", &err), 0);
    assert_string_equal(sys.order, "");
    assert_int_equal(e.config.memory_bytes, 0);
    assert_int_equal(faccessat(top, "etc/hosts", F_OK, 0), -1);
}

static void test_takes_over(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(look(LAUNCH(ID_B, "new",
                                 ",\"memoryBytes\":1073741824,\"cpuMillis\":1000,"
                                 "\"diskBytes\":7,\"pids\":9,\"port\":1"),
                          &err),
                     0);
    assert_string_equal(e.config.control_secret, "new");
    assert_string_equal(e.config.sandbox_id, ID_B);
    assert_string_equal(e.config.template_id, "t");
    assert_int_equal(e.limits.memory_bytes, 1 << 30);
    assert_int_equal(e.limits.disk_bytes, 7);
    assert_int_equal(e.limits.pids, 9);
    assert_int_equal(e.metrics.memory_bytes, 1 << 30);
    assert_int_equal(e.metrics.cpus, 1);
    assert_int_equal(e.config.n_cgroup_fds, 1);
    assert_int_equal(e.config.port, 49983);
    assert_string_equal(sys.order, ""); /* nobody has shown the new secret yet */
    assert_int_equal(faccessat(top, "etc/hosts", F_OK, 0), -1);
}

static void test_becomes(void **state)
{
    struct err err = {0};
    struct stat st;
    (void)state;
    put("etc/hosts", "template's");
    assert_int_equal(symlinkat("../victim", top, "etc/hostname"), 0);
    put("victim", "untouched");
    assert_int_equal(look(LAUNCH(ID_B, "new", ""), &err), 0);
    assert_int_equal(look(LAUNCH(ID_B, "newer", ""), &err),
                     0); /* before the first was authorised */
    assert_int_equal(look(LAUNCH(ID_B, "newer", ""), &err), 0);
    sys.now_ns = STAMP_NS - NS_PER_S;
    assert_int_equal(become("{\"timestamp\":\"2026-01-01T00:00:00Z\"}", &err), 0);
    assert_string_equal(sys.order, "CEH");
    assert_int_equal(sys.entropy[31], 0x1f);
    assert_string_equal(sys.hostname, ID_B);
    assert_file("etc/hosts",
                "127.0.0.1\tlocalhost\n127.0.1.1\t" ID_B "\n::1\tip6-localhost ip6-loopback\n");
    assert_file("etc/hostname", ID_B);
    assert_file("victim", "untouched");
    assert_int_equal(fstatat(top, "etc/hosts", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
    assert_file("run/e2b/.E2B_SANDBOX_ID", ID_B);
    assert_file("run/e2b/.E2B_TEMPLATE_ID", "t");
    assert_int_equal(faccessat(top, "etc/machine-id", F_OK, 0), -1); /* the template has none */
    _cleanup_json_ json_t *vars = settings_globals(&e.settings);
    assert_string_equal(json_string_value(json_object_get(vars, "E2B_SANDBOX_ID")), ID_B);
    assert_string_equal(json_string_value(json_object_get(vars, "E2B_TEMPLATE_ID")), "t");
    for (size_t i = 0; i < sizeof(e.machine.entropy); i++)
        assert_int_equal(e.machine.entropy[i], 0);
    assert_int_equal(look(LAUNCH(ID_B, "newer", ""), &err), 0);
    assert_int_equal(become("{}", &err), 0);
    assert_string_equal(sys.order, "CEH"); /* once */
}

/* What an /init told the template's machine is not told to its clones. */
static void test_settings_start_fresh(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(look(LAUNCH(ID_A, "old", ""), &err), 0);
    assert_int_equal(become("{\"accessToken\":\"tok\",\"defaultUser\":\"user\","
                            "\"defaultWorkdir\":\"/w\",\"envVars\":{\"A\":\"1\"},"
                            "\"timestamp\":\"2026-06-01T00:00:00Z\"}",
                            &err),
                     0);
    struct exit_record *x = xnew(struct exit_record);
    list_append(&e.processes.retained, &x->link);
    e.processes.n_retained++;
    assert_int_equal(look(LAUNCH(ID_B, "new", ""), &err), 0);
    assert_string_equal(e.settings.token, "tok"); /* until the secret was shown it stays closed */
    assert_int_equal(become("{\"accessToken\":\"\"}", &err), -EINVAL);
    assert_string_equal(e.settings.token, "tok");
    assert_int_equal(e.processes.n_retained, 0);
    /* older than the /init of the snapshot, which is not its business */
    assert_int_equal(become("{\"timestamp\":\"2026-01-01T00:00:00Z\"}", &err), 0);
    assert_string_equal(e.settings.token, "");
    assert_string_equal(e.settings.default_user, "root");
    assert_string_equal(e.settings.default_workdir, "");
    assert_int_equal(e.settings.timestamp_ns, STAMP_NS);
    assert_int_equal(sys.now_ns, STAMP_NS);
    _cleanup_json_ json_t *vars = settings_globals(&e.settings);
    assert_null(json_object_get(vars, "A"));
}

/* The same sandbox comes back under another secret: it keeps its names and what it was told. */
static void test_only_the_secret(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(look(LAUNCH(ID_A, "old", ""), &err), 0);
    assert_int_equal(
        become("{\"defaultUser\":\"user\",\"timestamp\":\"2026-06-01T00:00:00Z\"}", &err), 0);
    memset(sys.order, 0, sizeof(sys.order));
    assert_int_equal(look(LAUNCH(ID_A, "new", ""), &err), 0);
    assert_string_equal(e.config.control_secret, "new");
    assert_int_equal(become("{\"timestamp\":\"2026-01-01T00:00:00Z\"}", &err), 0);
    assert_string_equal(sys.order, "CE");
    assert_int_equal(sys.now_ns, STAMP_NS);
    assert_string_equal(e.settings.default_user, "user");
    assert_int_equal(faccessat(top, "etc/hosts", F_OK, 0), -1);
}

static void test_clock(void **state)
{
    static const struct {
        const char *stamp;
        int64_t now_ns;
        bool set;
    } cases[] = {
        {"2026-01-01T00:00:00Z", STAMP_NS - 1000000, false},
        {"2026-01-01T00:00:01Z", STAMP_NS + 1001000000, false},
        {"2026-01-01T00:00:02Z", STAMP_NS + 1998999999, true},
        {"2026-01-01T00:00:03Z", STAMP_NS + 3001000001, true},
        {"2026-01-01T00:00:03Z", STAMP_NS + 9000000000, false}, /* not newer than the last */
        {"2026-01-01T00:00:01Z", STAMP_NS + 9000000000, false}, /* older */
        {"2261-12-31T00:00:00Z", INT64_MIN, true},
    };
    struct err err = {0};
    char init[64];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        memset(&sys, 0, sizeof(sys));
        sys.now_ns = cases[i].now_ns;
        (void)snprintf(init, sizeof(init), "{\"timestamp\":\"%s\"}", cases[i].stamp);
        assert_int_equal(become(init, &err), 0);
        if ((strcmp(sys.order, "C") == 0) != cases[i].set)
            fail_msg("case %zu: '%s'", i, sys.order);
    }
    assert_int_equal(become("{\"timestamp\":\"yesterday\"}", &err), -EINVAL);
    assert_int_equal(become("{}", &err), 0);
    assert_string_equal(sys.order, "C");
}

/* What failed is done again by the next /init; nothing of it counts before. */
static void test_failures(void **state)
{
    static const char fails[] = "EHC";
    struct err err = {0};
    (void)state;
    assert_int_equal(look(LAUNCH(ID_B, "new", ""), &err), 0);
    for (size_t i = 0; i < sizeof(fails) - 1; i++) {
        memset(&sys, 0, sizeof(sys));
        sys.fails = fails[i];
        sys.fail = -EPERM;
        assert_int_equal(
            become("{\"timestamp\":\"2026-01-01T00:00:00Z\",\"accessToken\":\"t\"}", &err), -EPERM);
        assert_string_equal(e.settings.token, "");
        assert_true(e.machine.changed && e.machine.renamed);
    }
    assert_int_equal(fs_remove_tree(top, "etc", &err), 0);
    assert_int_equal(symlinkat("/etc", top, "etc"), 0); /* is not followed */
    memset(&sys, 0, sizeof(sys));
    assert_int_equal(become("{}", &err), -ENOTDIR);
    assert_non_null(strstr(err.msg, "/etc"));
    assert_int_equal(unlinkat(top, "etc", 0), 0);
    memset(&sys, 0, sizeof(sys));
    assert_int_equal(become("{\"accessToken\":\"t\"}", &err), 0);
    assert_string_equal(sys.order, "EH");
    assert_int_equal(sys.entropy[31], 0x1f);
    assert_string_equal(e.settings.token, "t");
    assert_file("etc/hostname", ID_B);
}

static void read_machine_id(char id[static 40])
{
    _cleanup_buf_ struct buf text = BUF_INIT(39);
    assert_int_equal(fs_read_file(top, "etc/machine-id", &text, NULL), 0);
    assert_int_equal(slice_copy(buf_slice(&text), id, 40), 0);
}

static void become_sandbox(const char *launch)
{
    struct err err = {0};
    assert_int_equal(look(launch, &err), 0);
    assert_int_equal(become("{}", &err), 0);
}

static void test_machine_id(void **state)
{
    char first[40], second[40];
    struct stat st;
    (void)state;
    put("etc/machine-id", "");
    become_sandbox(LAUNCH(ID_B, "new", ""));
    read_machine_id(first);
    assert_int_equal(strlen(first), MACHINE_ID_DIGITS + 1);
    assert_int_equal(strspn(first, "0123456789abcdef"), MACHINE_ID_DIGITS);
    assert_int_equal(fstatat(top, "etc/machine-id", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0444);
    become_sandbox(LAUNCH(ID_A, "newer", "")); /* a clone of the clone: ours, replaced */
    read_machine_id(second);
    assert_string_not_equal(first, second);

    put("etc/machine-id", first); /* somebody else's by now */
    become_sandbox(LAUNCH(ID_B, "newest", ""));
    assert_file("etc/machine-id", first);
    assert_int_equal(unlinkat(top, "etc/machine-id", 0), 0);
    put("victim", "");
    assert_int_equal(symlinkat("../victim", top, "etc/machine-id"), 0);
    become_sandbox(LAUNCH(ID_A, "last", ""));
    assert_int_equal(fstatat(top, "etc/machine-id", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_file("victim", "");
}

static void test_boot(void **state)
{
    (void)state;
    memset(e.config.entropy, 7, sizeof(e.config.entropy));
    e.config.has_entropy = true;
    machine_init(&e.machine, &e.config, &fake, folder);
    assert_string_equal(sys.order, "E");
    assert_int_equal(sys.entropy[31], 7);
    assert_int_equal(e.config.entropy[31], 0);
    assert_false(e.config.has_entropy || e.machine.changed);
}

/* In a container there is no such file, and none is looked for. */
static void test_no_machine(void **state)
{
    struct err err = {0};
    (void)state;
    e.config.machine = false;
    assert_int_equal(look("malformed", &err), 0);
    assert_int_equal(look(LAUNCH(ID_B, "new", ""), &err), 0);
    assert_string_equal(e.config.control_secret, "old");
    assert_int_equal(become("{\"timestamp\":\"2026-01-01T00:00:00Z\"}", &err), 0);
    assert_string_equal(sys.order, "");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_members),         CASE(test_bad_files), CASE(test_same_machine),
        CASE(test_takes_over),      CASE(test_becomes),   CASE(test_settings_start_fresh),
        CASE(test_only_the_secret), CASE(test_clock),     CASE(test_failures),
        CASE(test_machine_id),      CASE(test_boot),      CASE(test_no_machine),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
