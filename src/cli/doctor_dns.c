/* Check of the nameservers that silica-dns will ask: the C library reads the same list. */
#include "cli/doctor.h"

#include <netdb.h>
#include <resolv.h>

enum { ANSWER_BYTES = 1232, WAIT_S = 2 };

/* The root's nameservers: every nameserver that answers at all knows them. */
bool doctor_nameservers(struct doctor *d)
{
    static const char fix[] =
        "let /etc/resolv.conf name a nameserver that answers, or another file "
        "by resolv_conf in [server] of the configuration";
    struct __res_state state = {.nscount = 0};
    unsigned char answer[ANSWER_BYTES];
    if (res_ninit(&state) != 0)
        return doctor_bad(d, fix, "/etc/resolv.conf cannot be read");
    int n = state.nscount;
    state.retrans = WAIT_S;
    state.retry = 1;
    int r = res_nquery(&state, ".", ns_c_in, ns_t_ns, answer, sizeof(answer));
    int why = state.res_h_errno;
    res_nclose(&state);
    if (r < 0 && why != HOST_NOT_FOUND && why != NO_DATA)
        return doctor_bad(d, fix, "none of %d answers: no names inside sandboxes", n);
    return doctor_ok(d, "one of %d answers", n);
}
