#include "plugin/base/http.h"

#include <errno.h>

int http_open(struct http **ret, struct error *e)
{
	(void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "http is missing");
}

void http_free(struct http *http)
{
	(void)http;
}

int http_start(struct http *http, const struct http_request *request, struct http_call **ret, struct error *e)
{
	(void)http, (void)request, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "http is missing");
}

void http_await(struct http_call *call, struct http_reply *ret)
{
	(void)call, (void)ret;
}

void http_call_free(struct http_call *call)
{
	(void)call;
}

void http_reply_clear(struct http_reply *reply)
{
	(void)reply;
}
