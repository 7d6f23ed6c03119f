// deps: priv_request base
/*
 * Packets to silica-priv: nothing crashes, and what passes holds what the operations rely on.
 */
#include "base/ids.h"
#include "priv/request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    /* Exactly n bytes of heap: reading one more is an error that a sanitizer sees. */
    void *packet = malloc(n != 0 ? n : 1);
    struct priv_start start;
    if (packet == NULL)
        return 0;
    memcpy(packet, data, n);
    if (priv_request_check(packet, n) && n == sizeof(start)) {
        memcpy(&start, packet, sizeof(start));
        must(start.head.op == PRIV_START && strlen(start.id) == SANDBOX_ID_LEN);
        must(strlen(start.template_id) == TEMPLATE_ID_LEN);
        must(strlen(start.control_secret) == PRIV_SECRET_LEN);
        must(strpbrk(start.control_secret, "\"\\,") == NULL && strchr(start.id, '/') == NULL);
    }
    free(packet);
    return 0;
}
