// deps: net base
/* What a network slot means: first, last and neighbouring slots, and what is out of range. */
#include "base/cleanup.h"
#include "base/ids.h"
#include "net/nft.h"
#include "net/slot.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static const struct {
    unsigned instance, slot;
    const char *host, *outer, *link;
    uint32_t uid_base;
} slots[] = {
    {0, 0, "198.18.0.1", "198.18.0.2", "sil0s0", 0x70000000},
    {0, 1, "198.18.0.5", "198.18.0.6", "sil0s1", 0x70010000},
    {0, 2047, "198.18.31.253", "198.18.31.254", "sil0s2047", 0x77ff0000},
    {1, 0, "198.18.32.1", "198.18.32.2", "sil1s0", 0x78000000},
    {15, 2047, "198.19.255.253", "198.19.255.254", "sil15s2047", 0xefff0000},
};

static void test_slots(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
        struct net_slot s;
        char text[ADDR_TEXT_BYTES];
        assert_true(net_slot_get(slots[i].instance, slots[i].slot, &s));
        assert_string_equal(net_addr_text(s.host_addr, text), slots[i].host);
        assert_string_equal(net_addr_text(s.outer_addr, text), slots[i].outer);
        assert_string_equal(s.link, slots[i].link);
        assert_int_equal(s.uid_base, slots[i].uid_base);
    }
}

static void test_out_of_range(void **state)
{
    struct net_slot s;
    (void)state;
    assert_false(net_slot_get(INSTANCE_MAX, 0, &s));
    assert_false(net_slot_get(0, SLOTS_PER_INSTANCE, &s));
    assert_false(net_slot_get(UINT32_MAX, UINT32_MAX, &s));
}

static void test_instance_range(void **state)
{
    char text[ADDR_TEXT_BYTES];
    unsigned prefix;
    (void)state;
    assert_string_equal(net_addr_text(net_instance_range(0, &prefix), text), "198.18.0.0");
    assert_int_equal(prefix, 19);
    assert_string_equal(net_addr_text(net_instance_range(15, &prefix), text), "198.19.224.0");
}

/* The longest texts fit their maximum, and no internet means no way out and no DNS. */
static void test_policy_texts(void **state)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    struct net_slot s;
    (void)state;
    assert_true(net_slot_get(15, 2047, &s));
    struct net_policy most = {.internet = true, .rate = UINT64_C(1) << 36};
    assert_int_equal(nft_sandbox_policy(&text, &s, &most), 0);
    assert_non_null(
        strstr(buf_str(&text), "169.254.0.22 udp dport 53 dnat ip to 198.19.255.253:5325"));
    assert_non_null(strstr(buf_str(&text), "limit rate over 68719476736 bytes/second"));
    buf_clear(&text);
    assert_int_equal(nft_sandbox_policy(&text, &s, &(struct net_policy){0}), 0);
    assert_null(strstr(buf_str(&text), "dport 53"));
    assert_null(strstr(buf_str(&text), "bytes/second"));
    assert_null(strstr(buf_str(&text), "goto fresh"));
    buf_clear(&text);
    struct host_policy host = {.instance = 15, .daemon_uid = UINT32_MAX, .dns_uid = UINT32_MAX};
    assert_int_equal(nft_host_policy(&text, &host), 0);
    assert_non_null(strstr(buf_str(&text), "ip saddr != 198.19.224.0/19 drop"));
    assert_null(strstr(buf_str(&text), "chain others"));
    host.forward_alone = true;
    buf_clear(&text);
    assert_int_equal(nft_host_policy(&text, &host), 0);
    assert_non_null(strstr(buf_str(&text), "chain others"));
}

/* libnftables would end the program. */
static void test_no_descriptor_left(void **state)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    struct rlimit was, none;
    struct err err = {0};
    (void)state;
    assert_int_equal(buf_put_str(&text, "list tables\n"), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = nft_run(&text, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(r, -EMFILE);
    assert_string_equal(err.msg, "open a firewall socket: Too many open files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_instance_range),
        cmocka_unit_test(test_policy_texts),
        cmocka_unit_test(test_no_descriptor_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
