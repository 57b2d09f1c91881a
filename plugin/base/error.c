#include "plugin/base/error.h"

#include <stdarg.h>
#include <string.h>

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

__attribute__((format(printf, 1, 0))) static char *format_list(const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		abort();
	return text;
}

char *format_text(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	char *text = format_list(format, args);
	va_end(args);
	return text;
}

char *copy_text(const char *text)
{
	return text ? must(strdup(text)) : NULL;
}

void append_item(char **list, const char *item)
{
	char *longer = format_text("%s%s%s", *list ? *list : "", *list && **list ? ", " : "", item);

	free(*list);
	*list = longer;
}

bool same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

bool same_text_or_none(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool is_cni_name(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return *text && !strchr("_.-", *text) && text[strspn(text, allowed)] == '\0';
}

void *allocate(size_t count, size_t size)
{
	return must(calloc(count ? count : 1, size ? size : 1));
}

void *reallocate(void *p, size_t count, size_t size)
{
	return must(reallocarray(p, count ? count : 1, size));
}

int error_set(struct error *e, int err, unsigned int code, const char *format, ...)
{
	va_list args;

	/* The new text may quote the old one: format before freeing. */
	va_start(args, format);
	char *message = format_list(format, args);
	va_end(args);

	error_clear(e);
	*e = (struct error){.err = err < 0 ? err : -1, .code = code, .message = message};
	return e->err;
}

int error_wrap(struct error *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	cleanup_free char *context = format_list(format, args);
	va_end(args);

	char *message = format_text("%s: %s", context, e->message ? e->message : "unknown error");

	free(e->message);
	e->message = message;
	return e->err;
}

int error_details(struct error *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	char *details = format_list(format, args);
	va_end(args);

	free(e->details);
	e->details = details;
	return e->err;
}

void error_keep_first(struct error *to, struct error *from)
{
	if (!from->err)
		return;
	if (to->err) {
		error_clear(from);
		return;
	}
	*to = *from;
	*from = (struct error){0};
}

void error_add(struct error *to, struct error *from)
{
	if (to->err && from->err) {
		cleanup_free char *before = to->details;
		const char *more = from->details ? from->details : "";

		to->details = format_text("%s%salso: %s%s%s%s", before ? before : "", before && *before ? "; " : "",
			from->message, *more ? " (" : "", more, *more ? ")" : "");
	}
	error_keep_first(to, from);
}

void error_clear(struct error *e)
{
	free(e->message);
	free(e->details);
	*e = (struct error){0};
}
