/* Identifiers: what is one, that new ones are, and that random text is spread over its alphabet. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/list.h"
#include "base/random.h"

#include <string.h>

static const struct {
    const char *text;
    bool sandbox, template, alias;
} id_cases[] = {
    {"", false, false, false},
    {"i", false, false, true},
    {"iabcdefghij0123456789", true, false, true},
    {"i01234567890123456789", true, false, true},
    {"iabcdefghij012345678", false, true, true},
    {"iabcdefghij01234567890", false, false, true},
    {"jabcdefghij0123456789", false, false, true},
    {"Iabcdefghij0123456789", false, false, false},
    {"iabcdefghij012345678A", false, false, false},
    {"iabcdefghij012345678/", false, false, false},
    {"iabcdefghij01234567 9", false, false, false},
    {"iabcdefghij012345678-", false, false, true},
    {"abcdefghij0123456789", false, true, true},
    {"abcdefghij012345678_", false, false, true},
    {"abcdefghij012345678\n", false, false, false},
    {"abcdefghij\xc3\xa4"
     "01234567",
     false, false, false},
    {"..", false, false, false},
    {".", false, false, false},
    {"/", false, false, false},
    {"-base", false, false, false},
    {"_base", false, false, false},
    {"base", false, false, true},
    {"base-2", false, false, true},
    {"base_2-x", false, false, true},
    {"0", false, false, true},
    {"Base", false, false, false},
    {"base.1", false, false, false},
    {"base:latest", false, false, false},
    {"ba/se", false, false, false},
    {"base ", false, false, false},
    {"012345678901234567890123456789012345678901234567890123456789012", false, false, true},
    {"0123456789012345678901234567890123456789012345678901234567890123", false, false, false},
};

static void test_validation(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(id_cases); i++) {
        const char *s = id_cases[i].text;
        if (id_is_sandbox(s) != id_cases[i].sandbox || id_is_template(s) != id_cases[i].template ||
            id_is_alias(s) != id_cases[i].alias)
            fail_msg("'%s'", s);
    }
}

static void test_new_ids(void **state)
{
    (void)state;
    char sandbox[SANDBOX_ID_LEN + 1], before[SANDBOX_ID_LEN + 1] = "";
    char template[TEMPLATE_ID_LEN + 1];
    for (int i = 0; i < 1000; i++) {
        id_new_sandbox(sandbox);
        id_new_template(template);
        assert_true(id_is_sandbox(sandbox));
        assert_true(id_is_template(template));
        assert_string_not_equal(sandbox, before);
        memcpy(before, sandbox, sizeof(before));
    }
}

static void test_uuid(void **state)
{
    (void)state;
    for (int k = 0; k < 100; k++) {
        char u[37];
        id_new_uuid(u);
        assert_int_equal(strlen(u), 36);
        for (int i = 0; i < 36; i++) {
            bool dash = i == 8 || i == 13 || i == 18 || i == 23;
            assert_true(dash ? u[i] == '-' : strchr("0123456789abcdef", u[i]) != NULL);
        }
        assert_int_equal(u[14], '4');
        assert_non_null(strchr("89ab", u[19]));
    }
}

static void test_random_text(void **state)
{
    (void)state;
    enum { N = 36 * 100000 };
    static char text[N + 1];
    unsigned seen[256] = {0};
    random_id(text, N);
    assert_int_equal(strlen(text), N);
    for (int i = 0; i < N; i++)
        seen[(unsigned char)text[i]]++;
    /* 100000 expected of each, standard deviation 312: nine of them either way never happen */
    for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789"; *c != '\0'; c++)
        assert_in_range(seen[(unsigned char)*c], 97200, 102800);
    random_id(text, 0);
    assert_string_equal(text, "");
}

static void test_random_hex(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 31, 32, 33, 64, 100};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char text[201];
        memset(text, 'z', sizeof(text));
        random_hex(text, sizes[i]);
        assert_int_equal(strlen(text), 2 * sizes[i]);
        assert_int_equal(strspn(text, "0123456789abcdef"), 2 * sizes[i]);
    }
}

/* The ranges that programs agree on do not overlap, for any instance and slot. */
static void test_ranges(void **state)
{
    (void)state;
    uint64_t uids = (uint64_t)INSTANCE_MAX * SLOTS_PER_INSTANCE * SANDBOX_UID_RANGE;
    assert_true(SANDBOX_UID_BASE + uids <= UINT32_MAX);
    assert_true(DAEMON_UID_BASE + INSTANCE_MAX <= SANDBOX_UID_BASE);
    uint64_t addresses = (uint64_t)INSTANCE_MAX * SLOTS_PER_INSTANCE * 4;
    assert_true(addresses <= 1u << 17); /* 198.18.0.0/15 */
}

static void test_list(void **state)
{
    (void)state;
    struct item {
        int n;
        struct list link;
    } items[4] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}};
    struct list head;
    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 4; i++)
        list_append(&head, &items[i].link);
    int n = 0;
    list_for_each_safe(it, next, &head)
    {
        struct item *item = container_of(it, struct item, link);
        assert_int_equal(item->n, n++);
        if (item->n % 2 == 0)
            list_remove(it);
    }
    assert_int_equal(n, 4);
    assert_ptr_equal(head.next, &items[1].link);
    assert_ptr_equal(head.prev, &items[3].link);
    list_remove(&items[0].link); /* again: it is in no list */
    list_insert_before(&items[3].link, &items[2].link);
    assert_ptr_equal(items[1].link.next, &items[2].link);
    list_remove(&items[1].link);
    list_remove(&items[2].link);
    list_remove(&items[3].link);
    assert_true(list_empty(&head));
}

static void test_slot_of_addr(void **state)
{
    (void)state;
    static const struct {
        unsigned instance;
        uint32_t addr;
        int slot;
    } cases[] = {
        {0, 0xc6120002, 0},   {0, 0xc6120006, 1},  {0, 0xc6121ffe, 2047},  {0, 0xc6120000, -1},
        {0, 0xc6120001, -1},  {0, 0xc6120003, -1}, {0, 0xc611fffe, -1},    {0, 0xc6122002, -1},
        {1, 0xc6122002, 0},   {1, 0xc6121ffe, -1}, {15, 0xc613fffe, 2047}, {15, 0xc6140002, -1},
        {16, 0xc6140002, -1}, {0, 0, -1},          {0, 0xfffffffe, -1},    {0, 0x7f000002, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(id_slot_of_addr(cases[i].instance, cases[i].addr), cases[i].slot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_validation), cmocka_unit_test(test_new_ids),
        cmocka_unit_test(test_uuid),       cmocka_unit_test(test_random_text),
        cmocka_unit_test(test_random_hex), cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_list),       cmocka_unit_test(test_slot_of_addr),
    };
    return cmocka_run_group_tests_name("base/ids", tests, NULL, NULL);
}
