/* silica-dns's limits, its list of nameservers and its options. */
// deps: dns base
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "dns/limits.h"
#include "dns/options.h"
#include "dns/servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct dns_limits limits;

static unsigned passes(unsigned slot, uint64_t now_ns, unsigned tries)
{
    unsigned n = 0;
    while (tries-- > 0)
        n += dns_limits_query(&limits, slot, now_ns);
    return n;
}

static void test_rate(void **state)
{
    (void)state;
    uint64_t now = 5 * NS_PER_S;
    limits = (struct dns_limits){.held = {0}};
    assert_int_equal(passes(3, now, 1000), DNS_RATE_BURST);
    assert_int_equal(passes(4, now, 1), 1); /* another's is its own */
    assert_int_equal(passes(3, now + 10 * NS_PER_MS, 1000), DNS_RATE_PER_SECOND / 100);
    assert_int_equal(passes(3, now + 10 * NS_PER_MS, 1000), 0);
    assert_int_equal(passes(3, now + NS_PER_S, 1000), DNS_RATE_PER_SECOND * 99 / 100);
    assert_int_equal(passes(3, now + 3600 * NS_PER_S, 1000), DNS_RATE_BURST);
}

/* Asking more often than the clock's unit must not keep the bucket from filling. */
static void test_rate_of_small_steps(void **state)
{
    (void)state;
    uint64_t now = 5 * NS_PER_S;
    unsigned n = 0;
    limits = (struct dns_limits){.held = {0}};
    assert_int_equal(passes(0, now, 1000), DNS_RATE_BURST);
    for (unsigned i = 0; i < 10000; i++)
        n += passes(0, now += NS_PER_MS * 7 / 10, 1);
    assert_in_range(n, DNS_RATE_PER_SECOND * 7 - 1, DNS_RATE_PER_SECOND * 7);
}

static unsigned take_all(enum dns_share what, unsigned slot)
{
    unsigned n = 0;
    while (dns_limits_take(&limits, what, slot))
        n++;
    return n;
}

static void test_shares(void **state)
{
    (void)state;
    limits = (struct dns_limits){.held = {0}};
    assert_int_equal(take_all(DNS_SHARE_TCP, 7), DNS_TCP_PER_SANDBOX);
    assert_int_equal(take_all(DNS_SHARE_INFLIGHT, 7), DNS_INFLIGHT_PER_SANDBOX);
    assert_int_equal(take_all(DNS_SHARE_INFLIGHT, 8), DNS_INFLIGHT_PER_SANDBOX);
    dns_limits_give(&limits, DNS_SHARE_INFLIGHT, 7);
    assert_int_equal(take_all(DNS_SHARE_INFLIGHT, 7), 1);
    assert_int_equal(limits.held[DNS_SHARE_INFLIGHT], 2 * DNS_INFLIGHT_PER_SANDBOX);
}

/* Twenty floods leave room for one more, and the whole has its maximum. */
static void test_many_floods(void **state)
{
    (void)state;
    unsigned sum = 0;
    limits = (struct dns_limits){.held = {0}};
    for (unsigned slot = 0; slot < 20; slot++)
        sum += take_all(DNS_SHARE_INFLIGHT, slot);
    assert_in_range(sum, 20, DNS_INFLIGHT_MAX - 1);
    assert_in_range(take_all(DNS_SHARE_INFLIGHT, 20), 5, DNS_INFLIGHT_PER_SANDBOX - 1);
    for (unsigned slot = 21; slot < SLOTS_PER_INSTANCE; slot++)
        (void)take_all(DNS_SHARE_INFLIGHT, slot);
    assert_int_equal(limits.held[DNS_SHARE_INFLIGHT], DNS_INFLIGHT_MAX);
    assert_false(dns_limits_take(&limits, DNS_SHARE_INFLIGHT, 2000));
    dns_limits_give(&limits, DNS_SHARE_INFLIGHT, 0);
    assert_false(
        dns_limits_take(&limits, DNS_SHARE_INFLIGHT, 0)); /* who has most does not get it */
    assert_true(dns_limits_take(&limits, DNS_SHARE_INFLIGHT, 2000));
}

/* The addresses with commas between them. */
static const char *addresses(const struct dns_servers *s, char *dst, size_t cap)
{
    size_t n = 0;
    dst[0] = '\0';
    for (unsigned i = 0; i < s->n; i++) {
        char text[INET6_ADDRSTRLEN] = "?";
        struct sockaddr_in6 v6;
        struct sockaddr_in v4;
        memcpy(&v4, &s->server[i].addr, sizeof(v4));
        memcpy(&v6, &s->server[i].addr, sizeof(v6));
        bool is_v4 = v4.sin_family == AF_INET;
        (void)inet_ntop(v4.sin_family, is_v4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, text,
                        sizeof(text));
        assert_int_equal(ntohs(is_v4 ? v4.sin_port : v6.sin6_port), 53);
        n += (size_t)snprintf(dst + n, cap - n, "%s%s%s", i > 0 ? "," : "", text,
                              !is_v4 && v6.sin6_scope_id != 0 ? "%" : "");
    }
    return dst;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"nameserver 192.0.2.1\n", "192.0.2.1"},
        {"nameserver 192.0.2.1", "192.0.2.1"},
        {"nameserver\t192.0.2.1 \r\n", "192.0.2.1"},
        {"nameserver 192.0.2.1 # mine\n", "192.0.2.1"},
        {"nameserver 192.0.2.1;mine\n", "192.0.2.1"},
        {"nameserver 127.0.0.53\noptions edns0\n", "127.0.0.53"},
        {"# x\nsearch a b\nnameserver 2001:db8::1\nnameserver 192.0.2.2\n",
         "2001:db8::1,192.0.2.2"},
        {"nameserver ::1\n", "::1"},
        {"nameserver fe80::1%lo\n", "fe80::1%"},
        {"nameserver fe80::1%7\n", "fe80::1%"},
        {"nameserver fe80::1%nosuchlink\nnameserver 192.0.2.1\n", "192.0.2.1"},
        {"nameserver 192.0.2.1%lo\n", "127.0.0.1"},
        {"nameserver example.org\nnameserver 192.0.2.256\nnameserver 1.2.3\n", "127.0.0.1"},
        {"#nameserver 192.0.2.1\n nameserver 192.0.2.1\nnameserver192.0.2.1\n", "127.0.0.1"},
        {"nameserver\n", "127.0.0.1"},
        {"", "127.0.0.1"},
        {"nameserver 192.0.2.1\n\nnameserver 192.0.2.1\n", "192.0.2.1,192.0.2.1"},
        {"nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4\n"
         "nameserver 1.0.0.5\nnameserver 1.0.0.6\nnameserver 1.0.0.7\nnameserver 1.0.0.8\n"
         "nameserver 1.0.0.9\n",
         "1.0.0.1,1.0.0.2,1.0.0.3,1.0.0.4,1.0.0.5,1.0.0.6,1.0.0.7,1.0.0.8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_servers s = {.fd = -EBADF};
        char text[1024];
        dns_servers_parse(slice_str(cases[i].text), &s);
        assert_string_equal(addresses(&s, text, sizeof(text)), cases[i].want);
    }
}

static void test_order(void **state)
{
    (void)state;
    struct dns_servers s = {.fd = -EBADF};
    struct dns_server order[DNS_SERVERS_MAX];
    uint64_t now = NS_PER_S;
    dns_servers_parse(slice_str("nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\n"),
                      &s);
    struct dns_server first = s.server[0];
    dns_servers_let_rest(&s, &first, now);
    assert_int_equal(dns_servers_order(&s, now, order), 3);
    assert_memory_equal(&order[0].addr, &s.server[1].addr, order[0].len);
    assert_memory_equal(&order[2].addr, &s.server[0].addr, order[2].len);
    now += DNS_SERVER_REST_MS * NS_PER_MS;
    assert_int_equal(dns_servers_order(&s, now, order), 3);
    assert_memory_equal(&order[0].addr, &s.server[0].addr, order[0].len);
}

static char dir[] = "/tmp/silica-dns-rules-XXXXXX";

static void put(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void test_file(void **state)
{
    (void)state;
    char path[64], other[64], text[256];
    struct dns_servers s = {.fd = -EBADF};
    struct err err = {0};
    (void)snprintf(path, sizeof(path), "%s/resolv.conf", dir);
    (void)snprintf(other, sizeof(other), "%s/other", dir);
    assert_int_equal(dns_servers_open(path, &s, &err), 0); /* not there */
    assert_string_equal(addresses(&s, text, sizeof(text)), "127.0.0.1");
    assert_int_equal(dns_servers_refresh(&s), 0);
    put(path, "nameserver 192.0.2.1\n");
    assert_int_equal(dns_servers_refresh(&s), -ESTALE);
    dns_servers_close(&s);

    assert_int_equal(dns_servers_open(path, &s, &err), 0);
    assert_string_equal(addresses(&s, text, sizeof(text)), "192.0.2.1");
    assert_int_equal(dns_servers_refresh(&s), 0);
    put(path, "nameserver 192.0.2.22\n"); /* another length: a clock may be too coarse to tell */
    assert_int_equal(dns_servers_refresh(&s), 1);
    assert_int_equal(dns_servers_refresh(&s), 0);
    assert_string_equal(addresses(&s, text, sizeof(text)), "192.0.2.22");
    put(other, "nameserver 192.0.2.3\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(dns_servers_refresh(&s), 0); /* gone for a moment: what was read counts */
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(dns_servers_refresh(&s), -ESTALE);
    assert_string_equal(addresses(&s, text, sizeof(text)), "192.0.2.22");
    dns_servers_close(&s);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(dns_servers_open(dir, &s, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "not a plain file"));
}

static int parse(char **argv, struct dns_options *ret, struct err *err)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    optind = 0;
    return dns_options_parse(argc, argv, ret, err);
}

#define ARGV(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        (char[]){"silica-dns"}, __VA_ARGS__, NULL                                                  \
    }

static void test_options(void **state)
{
    (void)state;
    struct dns_options o;
    struct err err = {0};
    char inst[] = "--instance=15", uid[] = "--uid=5", udp[] = "--udp-fd=3", tcp[] = "--tcp-fd=4",
         file[] = "--resolv-conf=/x", many[] = "--instance=16", root[] = "--uid=0",
         two[] = "--udp-fd=2", minus[] = "--tcp-fd=-1", word[] = "word", bad[] = "--what";
    assert_int_equal(parse(ARGV(inst, uid, udp, tcp), &o, &err), 0);
    assert_int_equal(o.instance, 15);
    assert_int_equal(o.uid, 5);
    assert_int_equal(o.udp_fd, 3);
    assert_int_equal(o.tcp_fd, 4);
    assert_string_equal(o.resolv_conf, "/etc/resolv.conf");
    assert_int_equal(parse(ARGV(inst, uid, udp, tcp, file), &o, &err), 0);
    assert_string_equal(o.resolv_conf, "/x");
    static const char *const says[] = {"--instance is missing", "--uid is missing",
                                       "--udp-fd is missing", "--tcp-fd is missing"};
    char **const partial[] = {ARGV(uid, udp, tcp), ARGV(inst, udp, tcp), ARGV(inst, uid, tcp),
                              ARGV(inst, uid, udp)};
    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        assert_int_equal(parse(partial[i], &o, &err), -EINVAL);
        assert_non_null(strstr(err.msg, says[i]));
    }
    char *const wrong[] = {many, root, two, minus, word, bad};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(parse(ARGV(inst, uid, udp, tcp, wrong[i]), &o, &err), -EINVAL);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove_tree(AT_FDCWD, dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),   cmocka_unit_test(test_rate_of_small_steps),
        cmocka_unit_test(test_shares), cmocka_unit_test(test_many_floods),
        cmocka_unit_test(test_lines),  cmocka_unit_test(test_order),
        cmocka_unit_test(test_file),   cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests_name("dns/rules", tests, make_folder, remove_folder);
}
