#include "sandbox/write_queue.h"

#include <assert.h>

static void work_start(struct write_queue *q);

static struct write_job *first_job(struct write_queue *q)
{
    return container_of(q->jobs.next, struct write_job, node);
}

static void on_work(uv_work_t *work)
{
    struct write_queue *q = work->data;
    struct write_job *job = first_job(q); /* the loop only appends while we are busy */
    job->result = job->run(q->store, job, &job->err);
}

static void on_work_done(uv_work_t *work, int status)
{
    struct write_queue *q = work->data;
    (void)status; /* never cancelled */
    struct write_job *job = first_job(q);
    list_remove(&job->node);
    q->n--;
    q->busy = false;
    job->done(job, job->result < 0 ? &job->err : NULL);
    work_start(q);
    if (!q->busy && q->on_idle != NULL)
        q->on_idle(q);
}

static void work_start(struct write_queue *q)
{
    if (q->busy || list_empty(&q->jobs))
        return;
    q->busy = true;
    int r = uv_queue_work(q->loop, &q->work, on_work, on_work_done);
    assert(r == 0); /* fails for a missing callback only */
    (void)r;
}

void write_queue_init(struct write_queue *q, uv_loop_t *loop, struct store *store)
{
    *q = (struct write_queue){.loop = loop, .store = store};
    q->work.data = q;
    list_init(&q->jobs);
}

void write_queue_put(struct write_queue *q, struct write_job *job)
{
    list_append(&q->jobs, &job->node);
    q->n++;
    work_start(q);
}
