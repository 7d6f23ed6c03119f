/* POST /init and GET /envs. */
#pragma once

struct request;

void init_post(struct request *r);
void envs_get(struct request *r);
