/*
 * Fuzzes the account files: the same bytes as passwd and as group. An account that is found has the
 * name asked for, numbers the kernel takes as ids, and at most as many groups as fit.
 */
// deps: envd
#include "base/cleanup.h"
#include "envd/users.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    struct slice name = slice_sub(text, 0, slice_find(text, ':'));
    const struct slice names[] = {SLICE_LIT("user"), name};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct user u;
        struct user_groups g;
        if (!passwd_find_name(text, names[i], &u))
            continue;
        assert(slice_eq_str(names[i], u.name) && names[i].n > 0);
        assert(u.uid != UINT32_MAX && u.gid != UINT32_MAX);
        assert(passwd_name_of(text, u.uid).n > 0);
        if (group_list_of(text, &u, &g) == 0)
            assert(g.n >= 1 && g.n <= USER_GROUPS_MAX && g.gid[0] == u.gid);
    }
    (void)group_name_of(text, 0);
    return 0;
}
