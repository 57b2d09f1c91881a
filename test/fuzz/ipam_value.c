/* Whatever stands under an address or an attachment in a store. What is taken as ours prints as a value that is read as
 * the same one; the rest can be shown to a person. */
#include "ipam/record.h"
#include "ipam/store_etcd_keys.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_same(const struct ipam_value *value)
{
	cleanup_free char *printed = ipam_record_print(&value->record);
	cleanup_value struct ipam_value again = {0};
	cleanup_error struct error e = {0};
	const struct ipam_record *a = &value->record, *b = &again.record;

	if (ipam_value_parse(printed, &again, &e) < 0)
		abort();
	if (a->fixed != b->fixed || a->reserved != b->reserved || a->node_guessed != b->node_guessed ||
		a->time != b->time)
		abort();
	if (!same_text_or_none(a->cid, b->cid) || !same_text_or_none(a->ifname, b->ifname) ||
		!same_text_or_none(a->uid, b->uid) || !same_text_or_none(a->nonce, b->nonce))
		abort();
}

static void check_attachment(const char *text)
{
	cleanup_attachment_value struct attachment_value value = {0}, again = {0};
	cleanup_free char *nonce = etcd_value_nonce(text), *printed = NULL;

	if (!etcd_value_is_of(text, nonce, NULL, NULL) || !attachment_value_parse(text, &value))
		return;
	if (value.closed)
		printed = attachment_value_print_closed(value.nonce);
	else
		printed = attachment_value_print(value.nonce, value.domain, value.addrs, value.addr_count);
	if (!attachment_value_parse(printed, &again) || again.closed != value.closed ||
		again.addr_count != (value.closed ? 0 : value.addr_count) ||
		!same_text_or_none(again.nonce, value.nonce))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_free char *text = allocate(length + 1, 1);
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error e = {0};

	if (length)
		memcpy(text, bytes, length);

	cleanup_free char *shown = ipam_value_describe(text);

	/* Three names of a record at most, or the start of what is none. */
	if (!*shown || strpbrk(shown, "\r\n\x1b") || strlen(shown) > 1200)
		abort();
	if (ipam_value_parse(text, &value, &e) == 0)
		check_same(&value);
	else if (e.err != -EINVAL || !e.message)
		abort();
	check_attachment(text);
	return 0;
}
