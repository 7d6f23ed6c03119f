/*
 * The `network` object of a create request. Ingress members are supported; egress rules are not
 * yet, and are refused by name: a sandbox that ignored a denial would be worse than none.
 */
#include "api/create_parse.h"

#include "base/num.h"

enum { NETWORK_JSON_MAX_BYTES = 4096 };

static const char *const known_fields[] = {
    "allowPublicTraffic", "maskRequestHost", "allowOut", "denyOut", "rules",
    "egressProxy",        "httpsPorts"};
static const char *const unsupported[] = {"allowOut", "denyOut", "rules", "egressProxy",
                                          "httpsPorts"};

/* "host" with ${PORT} read as a digit: letters, digits, '-', '.', '_' and not at the edges. */
static bool host_name_valid(struct slice host)
{
    if (host.n == 0 || host.p[0] == '-' || host.p[0] == '.' || host.p[host.n - 1] == '-')
        return false;
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
        if (!ok)
            return false;
    }
    return true;
}

bool create_mask_host_valid(struct slice mask)
{
    static const struct slice placeholder = SLICE_LIT("${PORT}");
    char text[CREATE_MASK_HOST_MAX_BYTES + 1];
    size_t n = 0;
    if (mask.n > CREATE_MASK_HOST_MAX_BYTES)
        return false;
    while (mask.n > 0) {
        bool is_port = slice_has_prefix(mask, "${PORT}");
        text[n++] = is_port ? '1' : mask.p[0];
        mask = slice_from(mask, is_port ? placeholder.n : 1);
    }
    struct slice host = slice_of(text, n), port = {0};
    size_t colon = slice_find(host, ':');
    if (colon < host.n) {
        uint32_t number;
        port = slice_from(host, colon + 1);
        host.n = colon;
        if (parse_u32(port, 65535, &number) < 0)
            return false;
    }
    return host_name_valid(host);
}

static int read_mask_host(const struct json_ref *network, struct create_request *ret,
                          struct err *err)
{
    const char *mask = NULL;
    int r = json_get_str(network, "maskRequestHost", JSON_OPTIONAL, &mask, err);
    if (r <= 0 || mask[0] == '\0')
        return r;
    struct json_ref ref = {.up = network, .key = "maskRequestHost"};
    for (const char *p = mask; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            return json_refuse(&ref, err, "is not ASCII");
    if (!create_mask_host_valid(slice_str(mask)))
        return json_refuse(&ref, err, "is not valid: it must be host or host:port");
    ret->spec.mask_host = mask;
    return 0;
}

/* The supported members as given, for GET. */
static int keep_json(struct create_request *ret, bool has_public, struct err *err)
{
    buf_init(&ret->network_json, NETWORK_JSON_MAX_BYTES);
    struct json_writer w;
    jw_init(&w, &ret->network_json);
    jw_obj(&w);
    if (has_public)
        jw_kbool(&w, "allowPublicTraffic", ret->spec.public_traffic);
    if (ret->spec.mask_host != NULL)
        jw_kstr(&w, "maskRequestHost", ret->spec.mask_host);
    jw_end(&w);
    ret->spec.network_json = buf_str(&ret->network_json);
    if (ret->network_json.error != 0)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
    return 0;
}

int create_network_parse(const struct json_ref *network, const struct api_fields *fields,
                         struct create_request *ret, struct err *err)
{
    int r = api_fields_check(fields, network, known_fields, ARRAY_LEN(known_fields), err);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(unsupported); i++) {
        struct json_ref ref;
        r = json_get_any(network, unsupported[i], JSON_OPTIONAL, &ref, err);
        if (r > 0 && create_asks_for_something(ref.v))
            return create_not_supported(&ref, err);
    }
    bool public_traffic = true;
    if (r >= 0)
        r = json_get_bool(network, "allowPublicTraffic", JSON_OPTIONAL, &public_traffic, err);
    if (r < 0)
        return r;
    bool has_public = r > 0;
    ret->spec.public_traffic = public_traffic;
    r = read_mask_host(network, ret, err);
    return r < 0 ? r : keep_json(ret, has_public, err);
}
