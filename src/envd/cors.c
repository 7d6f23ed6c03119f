#include "envd/cors.h"

#include "envd/request.h"

size_t cors_headers(const struct http_head *head, struct http_header *ret)
{
    size_t n = 0;
    if (slice_eq_str(head->method, "OPTIONS") &&
        http_head_find(head, "Access-Control-Request-Method") != NULL)
        return 0; /* cors_preflight() writes its own */
    ret[n++] = (struct http_header){SLICE_LIT("Vary"), SLICE_LIT("Origin")};
    if (http_head_find(head, "Origin") == NULL)
        return n;
    ret[n++] = (struct http_header){SLICE_LIT("Access-Control-Allow-Origin"), SLICE_LIT("*")};
    ret[n++] = (struct http_header){
        SLICE_LIT("Access-Control-Expose-Headers"),
        SLICE_LIT("Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Location, Cache-Control, "
                  "X-Content-Type-Options")};
    return n;
}

static bool method_allowed(struct slice method)
{
    static const char *const allowed[] = {"HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        if (slice_eq_str(method, allowed[i]))
            return true;
    return false;
}

bool cors_preflight(struct request *r)
{
    const struct http_head *head = http_x_head(r->x);
    const struct http_header *method = http_head_find(head, "Access-Control-Request-Method");
    const struct http_header *wanted = http_head_find(head, "Access-Control-Request-Headers");
    struct http_header h[5];
    size_t n = 0;
    if (!slice_eq_str(head->method, "OPTIONS") || method == NULL)
        return false;
    h[n++] = (struct http_header){
        SLICE_LIT("Vary"),
        SLICE_LIT("Origin, Access-Control-Request-Method, Access-Control-Request-Headers")};
    if (http_head_find(head, "Origin") != NULL && method_allowed(method->value)) {
        h[n++] = (struct http_header){SLICE_LIT("Access-Control-Allow-Origin"), SLICE_LIT("*")};
        h[n++] = (struct http_header){SLICE_LIT("Access-Control-Allow-Methods"), method->value};
        if (wanted != NULL)
            h[n++] = (struct http_header){SLICE_LIT("Access-Control-Allow-Headers"), wanted->value};
        h[n++] = (struct http_header){SLICE_LIT("Access-Control-Max-Age"), SLICE_LIT("7200")};
    }
    request_reply_with(r, 204, h, n, slice_of(NULL, 0));
    return true;
}
