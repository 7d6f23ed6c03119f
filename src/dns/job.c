/*
 * States: asking (an attempt is open, the timer runs to its end) -> over. When an attempt ends without
 * an answer the next server is asked; after the last server the first again, with more patience. A
 * server that answers "I cannot" (SERVFAIL, NOTIMP, REFUSED) is passed over for one that can, in the
 * first turn only: after it that rcode is the answer.
 */
#include "dns/job.h"

#include "base/clock.h"

struct dns_job {
    struct list link; /* of dns->jobs until it is over */
    struct dns *dns;
    struct dns_query q;
    unsigned slot;
    bool tcp;
    struct dns_from from;
    dns_job_done done;
    void *user;
    uint64_t deadline_ns;
    struct dns_server servers[DNS_SERVERS_MAX];
    unsigned n_servers, next, turn;
    int bad_rcode;                  /* what a server said that could not; 0 when none did */
    const struct dns_server *asked; /* by `attempt` */
    struct dns_attempt *attempt;    /* owned; NULL between attempts */
    uv_timer_t timer;
};

static void ask_next(struct dns_job *job);

static void on_timer_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct dns_job, timer));
}

/* From here on it is nobody's; its memory goes with its timer. */
static void end(struct dns_job *job)
{
    dns_attempt_close(take_ptr(&job->attempt));
    list_remove(&job->link);
    dns_limits_give(&job->dns->limits, DNS_SHARE_INFLIGHT, job->slot);
    uv_close((uv_handle_t *)&job->timer, on_timer_closed);
}

static void deliver(struct dns_job *job, const uint8_t *msg, size_t n)
{
    job->done(job->user, &job->from, &job->q, msg, n);
    end(job);
}

static void fail(struct dns_job *job)
{
    uint8_t reply[DNS_OWN_MAX_BYTES];
    enum dns_rcode rcode = job->bad_rcode != 0 ? (enum dns_rcode)job->bad_rcode : DNS_SERVFAIL;
    job->dns->counts.failed++;
    deliver(job, reply, dns_reply_error(&job->q, rcode, reply));
}

static void let_rest(struct dns_job *job)
{
    dns_servers_let_rest(&job->dns->servers, job->asked, dns_now_ns(job->dns));
}

static bool cannot(int rcode)
{
    return rcode == DNS_SERVFAIL || rcode == DNS_NOTIMP || rcode == DNS_REFUSED;
}

static void on_attempt(void *user, int result, uint8_t *msg, size_t n)
{
    struct dns_job *job = user;
    if (result >= 0 && !(cannot(result) && job->turn == 0 && job->next < job->n_servers)) {
        job->dns->counts.answered++;
        deliver(job, msg, n);
        return;
    }
    if (result >= 0)
        job->bad_rcode = result;
    else
        let_rest(job);
    dns_attempt_close(take_ptr(&job->attempt));
    ask_next(job);
}

static void on_timer(uv_timer_t *timer)
{
    struct dns_job *job = container_of(timer, struct dns_job, timer);
    if (job->attempt != NULL)
        let_rest(job);
    ask_next(job);
}

/* The next server of this turn, or the first of the next; false when it is over. */
static bool pick(struct dns_job *job)
{
    if (job->next == job->n_servers) {
        job->next = 0;
        job->turn++;
    }
    if (job->n_servers == 0 || job->turn == DNS_TURNS || (job->turn > 0 && job->bad_rcode != 0) ||
        dns_now_ns(job->dns) >= job->deadline_ns)
        return false;
    job->asked = &job->servers[job->next++];
    return true;
}

static uint64_t patience_ms(const struct dns_job *job)
{
    static const unsigned ms[DNS_TURNS] = {DNS_TURN_1_MS, DNS_TURN_2_MS, DNS_TURN_3_MS};
    uint64_t left = (job->deadline_ns - dns_now_ns(job->dns)) / NS_PER_MS;
    return left < ms[job->turn] ? left : ms[job->turn];
}

/* The only server there is may be looking for the answer: what it was asked first stays valid. */
static int ask(struct dns_job *job)
{
    if (job->attempt != NULL && !job->tcp && job->n_servers == 1)
        return dns_attempt_repeat(job->attempt);
    dns_attempt_close(take_ptr(&job->attempt));
    return dns_attempt_start(&job->dns->loop, job->asked, &job->q, job->tcp, on_attempt, job,
                             &job->attempt);
}

static void ask_next(struct dns_job *job)
{
    while (pick(job)) {
        if (ask(job) == 0) {
            (void)uv_timer_start(&job->timer, on_timer, patience_ms(job), 0); /* cannot fail */
            return;
        }
        let_rest(job);
    }
    fail(job);
}

struct dns_job *dns_job_start(struct dns *dns, const struct dns_job_opts *opts)
{
    if (!dns_limits_take(&dns->limits, DNS_SHARE_INFLIGHT, opts->slot))
        return NULL;
    struct dns_job *job = xnew(struct dns_job);
    job->dns = dns;
    job->q = *opts->query;
    job->slot = opts->slot;
    job->tcp = opts->tcp;
    job->from = opts->from;
    job->done = opts->done;
    job->user = opts->user;
    job->deadline_ns = dns_now_ns(dns) + DNS_JOB_MS * NS_PER_MS;
    job->n_servers = dns_servers_order(&dns->servers, dns_now_ns(dns), job->servers);
    list_append(&dns->jobs, &job->link);
    (void)uv_timer_init(&dns->loop, &job->timer);
    (void)uv_timer_start(&job->timer, on_timer, 0, 0); /* from the loop, as all that follows */
    return job;
}

void dns_job_cancel(struct dns_job *job)
{
    end(job);
}

void dns_jobs_cancel(struct dns *dns)
{
    list_for_each_safe(it, next, &dns->jobs)
    {
        end(container_of(it, struct dns_job, link));
    }
}
