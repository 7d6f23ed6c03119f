/*
 * The client object: credentials and addresses, from options or the environment, checked before
 * anything is sent. See sdk_internal.h for what makes it thread-safe.
 */
#include "base/version.h"
#include "sdk/sdk_internal.h"

#include <stdio.h>
#include <sys/eventfd.h>

enum { ATTEMPTS_MAX = 20 };

const char *silica_version(void)
{
    return SILICA_VERSION;
}

void silica_buf_free(silica_buf *buf)
{
    if (buf == NULL)
        return;
    free(buf->data);
    *buf = (silica_buf){0};
}

silica_rc sdk_buf_take(struct buf *from, silica_buf *to, silica_error *err)
{
    size_t n = 0;
    char *p = buf_take(from, &n);
    if (p == NULL)
        return sdk_fail_nomem(err);
    *to = (silica_buf){.data = p, .len = n};
    return SILICA_OK;
}

silica_rc silica_cancel_new(silica_cancel **ret, silica_error *err)
{
    silica_cancel *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return sdk_fail_nomem(err);
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->fd < 0) {
        int saved = errno;
        free(c);
        (void)sdk_fail(err, SILICA_E_IO, "eventfd: %s", strerror(saved));
        if (err != NULL)
            err->sys_errno = saved;
        return SILICA_E_IO;
    }
    *ret = c;
    return SILICA_OK;
}

void silica_cancel_trigger(silica_cancel *cancel)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t n = write(cancel->fd, &one, sizeof(one)); /* full means triggered already */
    (void)n;
    errno = saved;
}

void silica_cancel_reset(silica_cancel *cancel)
{
    uint64_t count;
    ssize_t n = read(cancel->fd, &count, sizeof(count)); /* empty means not triggered */
    (void)n;
}

void silica_cancel_free(silica_cancel *cancel)
{
    if (cancel == NULL)
        return;
    cancel->fd = fd_close(cancel->fd);
    free(cancel);
}

bool sdk_header_value_ok(const char *value)
{
    size_t n = 0;
    for (const char *p = value; *p != '\0'; p++, n++) {
        if ((unsigned char)*p < 0x21 || (unsigned char)*p > 0x7e)
            return false;
    }
    return n > 0 && n <= SDK_TOKEN_MAX;
}

bool sdk_id_ok(const char *id)
{
    size_t n = 0;
    for (const char *p = id; *p != '\0'; p++, n++) {
        bool alnum =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!alnum && *p != '-' && *p != '_')
            return false;
    }
    return n > 0 && n <= SDK_ID_MAX;
}

/* Labels, dots, and a port or a bracketed address: what may stand behind "https://". */
bool sdk_domain_ok(const char *domain)
{
    size_t n = strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "-._:[]");
    return n > 0 && n <= SDK_DOMAIN_MAX && domain[n] == '\0';
}

/* An http or https URL without a query; a slash at the end is cut off. */
static silica_rc set_url(char **slot, const char *url, const char *what, silica_error *err)
{
    bool scheme = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    size_t n = strlen(url);
    if (!scheme || n > SDK_URL_MAX / 4 || strpbrk(url, "?# \t\r\n@") != NULL)
        return sdk_fail(err, SILICA_E_INVALID, "%s is not a plain http or https URL", what);
    while (n > 0 && url[n - 1] == '/')
        n--;
    *slot = strndup(url, n);
    return *slot != NULL ? SILICA_OK : sdk_fail_nomem(err);
}

/* Option, else environment, else NULL; empty counts as not given. */
static const char *choose(const char *option, bool no_env, const char *variable)
{
    if (option != NULL && option[0] != '\0')
        return option;
    if (no_env)
        return NULL;
    const char *v = secure_getenv(variable);
    return v != NULL && v[0] != '\0' ? v : NULL;
}

static silica_rc set_key(silica_client *c, const silica_client_opts *o, silica_error *err)
{
    const char *key = choose(o->api_key, o->no_env != 0, "E2B_API_KEY");
    if (key == NULL)
        return sdk_fail(err, SILICA_E_AUTH,
                        "no API key: set the option api_key or the variable E2B_API_KEY");
    if (!sdk_header_value_ok(key))
        return sdk_fail(err, SILICA_E_AUTH, "the API key is malformed");
    c->api_key = strdup(key);
    return c->api_key != NULL ? SILICA_OK : sdk_fail_nomem(err);
}

static silica_rc set_addresses(silica_client *c, const silica_client_opts *o, silica_error *err)
{
    const char *domain = choose(o->domain, o->no_env != 0, "E2B_DOMAIN");
    if (domain == NULL)
        domain = "e2b.app";
    if (!sdk_domain_ok(domain))
        return sdk_fail(err, SILICA_E_INVALID, "domain is not a host name with an optional port");
    c->domain = strdup(domain);
    if (c->domain == NULL)
        return sdk_fail_nomem(err);
    char made[SDK_DOMAIN_MAX + 32];
    (void)snprintf(made, sizeof(made), "https://api.%s", domain); /* fits: both are bounded */
    const char *api = choose(o->api_url, o->no_env != 0, "E2B_API_URL");
    silica_rc rc = set_url(&c->api_url, api != NULL ? api : made, "api_url", err);
    const char *sandbox = choose(o->sandbox_url, o->no_env != 0, "E2B_SANDBOX_URL");
    if (rc == SILICA_OK && sandbox != NULL)
        rc = set_url(&c->sandbox_url, sandbox, "sandbox_url", err);
    return rc;
}

static silica_rc set_policy(silica_client *c, const silica_client_opts *o, silica_error *err)
{
    c->max_attempts = o->max_attempts == 0 ? 4 : o->max_attempts;
    if (c->max_attempts > ATTEMPTS_MAX)
        return sdk_fail(err, SILICA_E_INVALID, "max_attempts is above %d", ATTEMPTS_MAX);
    silica_rc rc = sdk_duration(o->request_timeout_ms, 60000, true, "request_timeout_ms",
                                &c->request_timeout_ms, err);
    if (rc == SILICA_OK)
        rc = sdk_duration(o->retry_base_ms, 500, false, "retry_base_ms", &c->retry_base_ms, err);
    if (rc == SILICA_OK)
        rc = sdk_duration(o->retry_cap_ms, 30000, false, "retry_cap_ms", &c->retry_cap_ms, err);
    return rc;
}

static silica_rc set_texts(silica_client *c, const silica_client_opts *o, silica_error *err)
{
    _cleanup_buf_ struct buf agent = BUF_INIT(512);
    buf_printf(&agent, "libsilica/%s", SILICA_VERSION);
    if (o->user_agent != NULL) {
        for (const char *p = o->user_agent; *p != '\0'; p++) {
            if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
                return sdk_fail(err, SILICA_E_INVALID, "user_agent holds a control character");
        }
        buf_printf(&agent, " %s", o->user_agent);
    }
    if (agent.error == -ENOBUFS)
        return sdk_fail(err, SILICA_E_INVALID, "user_agent is too long");
    c->user_agent = buf_take(&agent, NULL);
    if (o->ca_file != NULL)
        c->ca_file = strdup(o->ca_file);
    if (c->user_agent == NULL || (o->ca_file != NULL && c->ca_file == NULL))
        return sdk_fail_nomem(err);
    return SILICA_OK;
}

silica_rc silica_client_new(const silica_client_opts *opts, silica_client **ret, silica_error *err)
{
    silica_client_opts o;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_client_opts", err);
    if (rc != SILICA_OK)
        return rc;
    silica_client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return sdk_fail_nomem(err);
    c->refs = 1;
    (void)pthread_mutex_init(&c->lock, NULL); /* cannot fail with default attributes */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        rc = sdk_fail(err, SILICA_E_INTERNAL, "libcurl does not initialise");
    if (rc == SILICA_OK)
        rc = set_key(c, &o, err);
    if (rc == SILICA_OK)
        rc = set_addresses(c, &o, err);
    if (rc == SILICA_OK)
        rc = set_policy(c, &o, err);
    if (rc == SILICA_OK)
        rc = set_texts(c, &o, err);
    if (rc != SILICA_OK) {
        silica_client_free(c);
        return rc;
    }
    *ret = c;
    return SILICA_OK;
}

silica_client *sdk_client_ref(silica_client *client)
{
    (void)__atomic_add_fetch(&client->refs, 1, __ATOMIC_RELAXED);
    return client;
}

void silica_client_free(silica_client *client)
{
    if (client == NULL || __atomic_sub_fetch(&client->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    while (client->idle != NULL) {
        struct sdk_engine *e = client->idle;
        client->idle = e->next;
        sdk_engine_free(e);
    }
    if (client->api_key != NULL)
        explicit_bzero(client->api_key, strlen(client->api_key));
    free(client->api_key);
    free(client->domain);
    free(client->api_url);
    free(client->sandbox_url);
    free(client->ca_file);
    free(client->user_agent);
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}
