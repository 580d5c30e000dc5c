// SPDX-License-Identifier: Apache-2.0
// Threads for blocking client libraries. libuv's own pool is not used: name lookups run
// there and must not wait behind a slow database. The queue is bounded, so a stuck service
// shows as FULL at its callers and not as memory.
#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "net/worker_impl.h"

#define POOL_THREADS 4
#define POOL_QUEUE 1024
#define PATIENCE_S 5 // at the end, before the log says what is waited for

typedef struct job {
    tg_mail mail; // brings the result home
    struct job *next;
    tg_worker *home;
    void (*run)(void *ctx);
    void (*after)(void *ctx, int code);
    void *ctx;
    int code;
} job;

struct tg_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    job *first, **last;
    uint32_t waiting, idle, threads;
    bool stopping;
    pthread_t at[POOL_THREADS];
};

int tg_pool_new(tg_pool **out)
{
    tg_pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return TG_E_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    p->last = &p->first;
    *out = p;
    return 0;
}

static void come_home(tg_mail *m, void *receiver)
{
    job *j = TG_OWNER(m, job, mail);
    assert(receiver == j->home);
    if (j->after != NULL)
        j->after(j->ctx, j->code);
    free(j);
}

static void send_home(job *j, int code)
{
    j->code = code;
    j->mail.run = come_home;
    tg_mailbox_control(j->home->mailbox, &j->mail);
}

static job *take(tg_pool *p)
{
    job *j = p->first;
    if (j == NULL)
        return NULL;
    p->first = j->next;
    if (p->first == NULL)
        p->last = &p->first;
    p->waiting--;
    return j;
}

static job *wait_for_job(tg_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->idle++;
    while (!p->stopping && p->first == NULL)
        pthread_cond_wait(&p->work, &p->lock);
    p->idle--;
    job *j = p->stopping ? NULL : take(p);
    pthread_mutex_unlock(&p->lock);
    return j;
}

static void *thread_main(void *arg)
{
    pthread_setname_np(pthread_self(), "tg-pool");
    for (job *j; (j = wait_for_job(arg)) != NULL;) {
        j->run(j->ctx);
        send_home(j, 0);
    }
    return NULL;
}

// The new thread inherits the mask: signals of the process are the control thread's.
static int start_thread(tg_pool *p)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int rc = pthread_create(&p->at[p->threads], NULL, thread_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        p->threads++;
    return rc;
}

// Threads start when there is work for them; one is enough to go on.
static int enqueue(tg_pool *p, job *j)
{
    if (p->stopping)
        return TG_E_SHUTDOWN;
    if (p->waiting >= POOL_QUEUE)
        return TG_E_FULL;
    if (p->idle <= p->waiting && p->threads < POOL_THREADS && start_thread(p) != 0 &&
        p->threads == 0)
        return TG_E_NOMEM;
    *p->last = j;
    p->last = &j->next;
    p->waiting++;
    pthread_cond_signal(&p->work);
    return 0;
}

int tg_pool_submit(tg_worker *w, void (*run)(void *ctx), void (*after)(void *ctx, int code),
                   void *ctx)
{
    assert(run != NULL);
    job *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return TG_E_NOMEM;
    j->home = w;
    j->run = run;
    j->after = after;
    j->ctx = ctx;
    tg_pool *p = w->all->pool;
    pthread_mutex_lock(&p->lock);
    int rc = enqueue(p, j);
    pthread_mutex_unlock(&p->lock);
    if (rc != 0)
        free(j);
    return rc;
}

// A call that never returns keeps the process from ending: its code may not be pulled away
// under it. Then at least the log says so.
static void join(pthread_t thread)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    if (pthread_timedjoin_np(thread, NULL, &until) == 0)
        return;
    tg_log(NET, WARN, "the end waits for blocking work of a plugin");
    pthread_join(thread, NULL);
}

void tg_pool_stop(tg_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->threads; i++)
        join(p->at[i]);
    p->threads = 0;
    for (job *j; (j = take(p)) != NULL;)
        send_home(j, TG_E_CANCELLED);
}

void tg_pool_free(tg_pool *p)
{
    if (p == NULL)
        return;
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
