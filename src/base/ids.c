#include "base/ids.h"

#include "base/random.h"

#include <stdio.h>
#include <string.h>

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool all_lower_alnum(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_lower_alnum(s[i])) /* stops at the terminator too */
            return false;
    return s[n] == '\0';
}

bool id_is_sandbox(const char *s)
{
    return s[0] == 'i' && all_lower_alnum(s, SANDBOX_ID_LEN);
}

bool id_is_template(const char *s)
{
    return all_lower_alnum(s, TEMPLATE_ID_LEN);
}

bool id_is_alias(const char *s)
{
    size_t n = strnlen(s, TEMPLATE_ALIAS_MAX + 1);
    if (n == 0 || n > TEMPLATE_ALIAS_MAX || !is_lower_alnum(s[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_lower_alnum(s[i]) && s[i] != '-' && s[i] != '_')
            return false;
    return true;
}

void id_new_sandbox(char dst[static SANDBOX_ID_LEN + 1])
{
    dst[0] = 'i';
    random_id(dst + 1, SANDBOX_ID_LEN - 1);
}

void id_new_template(char dst[static TEMPLATE_ID_LEN + 1])
{
    random_id(dst, TEMPLATE_ID_LEN);
}

void id_new_uuid(char dst[static 37])
{
    unsigned char b[16];
    random_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    char *d = dst;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *d++ = '-';
        d += snprintf(d, 3, "%02x", b[i]);
    }
}

int id_slot_of_addr(unsigned instance, uint32_t addr)
{
    uint32_t first = SLOT_NET_BASE + instance * SLOTS_PER_INSTANCE * SLOT_ADDRS;
    if (instance >= INSTANCE_MAX || addr < first || addr % SLOT_ADDRS != SLOT_SANDBOX_AT)
        return -1;
    uint32_t slot = (addr - first) / SLOT_ADDRS;
    return slot < SLOTS_PER_INSTANCE ? (int)slot : -1;
}
