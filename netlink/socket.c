#include "netlink/socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

/* A dump that is interrupted this often is not going to succeed: somebody changes the table all the time. */
#define DUMP_PASSES 16

struct nl {
	struct nl_sock *socket;
	struct netns_id id;

	/* The request under way and what came back. */
	uint32_t sequence;
	bool done;
	int err;
	char sentence[160];
	int (*each)(struct nl_msg *part, void *arg);
	void *arg;
};

/* Keeps the extended ack's sentence, which stands in the attributes behind the fixed part of an error or a DONE. */
static void keep_sentence(struct nl *nl, struct nlmsghdr *header, size_t fixed)
{
	struct nlattr *attributes[NLMSGERR_ATTR_MAX + 1];

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (nlmsg_parse(header, (int)fixed, attributes, NLMSGERR_ATTR_MAX, NULL) < 0 || !attributes[NLMSGERR_ATTR_MSG])
		return;
	nla_strlcpy(nl->sentence, attributes[NLMSGERR_ATTR_MSG], sizeof(nl->sentence));
}

static int on_error(struct sockaddr_nl *sender, struct nlmsgerr *error, void *arg)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)((char *)error - NLMSG_HDRLEN);
	struct nl *nl = arg;
	size_t fixed = sizeof(*error);

	(void)sender;
	/* Without NETLINK_CAP_ACK (kernel < 4.2) the request is quoted whole in front of the attributes. */
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		fixed += error->msg.nlmsg_len - sizeof(error->msg);
	nl->err = error->error;
	keep_sentence(nl, header, fixed);
	return NL_STOP;
}

/* A dump that failed half-way says so in its last message: libnl does not look there. */
static int on_done(struct nl_msg *message, void *arg)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	struct nl *nl = arg;
	int result = 0;

	nl->done = true;
	if (nlmsg_datalen(header) < (int)sizeof(result))
		return NL_OK;

	memcpy(&result, nlmsg_data(header), sizeof(result));
	if (result < 0) {
		nl->err = result;
		keep_sentence(nl, header, sizeof(result));
	}
	return NL_OK;
}

static int on_ack(struct nl_msg *message, void *arg)
{
	struct nl *nl = arg;

	(void)message;
	nl->done = true;
	return NL_OK;
}

static int on_part(struct nl_msg *message, void *arg)
{
	struct nl *nl = arg;

	/* The rest of a dump is read nevertheless: left in the socket it would answer the next request. */
	if (nl->each && nl->each(message, nl->arg) != 0)
		nl->each = NULL;
	return NL_OK;
}

/* Foreign messages are passed over: an echo for another namespace's socket with our port id may land here. */
static int on_sequence(struct nl_msg *message, void *arg)
{
	const struct nl *nl = arg;

	return nlmsg_hdr(message)->nlmsg_seq == nl->sequence ? NL_OK : NL_SKIP;
}

static int connect_socket(void *arg, struct error *e)
{
	struct nl *nl = arg;

	errno = 0;

	int r = nl_connect(nl->socket, NETLINK_ROUTE);

	if (r < 0)
		return error_set(
			e, errno ? -errno : -EIO, ERROR_IO, "cannot open a netlink socket: %s", nl_geterror(r));
	return 0;
}

/* Each of these is newer than some kernels: an older one answers with less text, or with more than was asked for. */
static void ask_for_details(int fd)
{
	static const int options[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
	int on = 1;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		setsockopt(fd, SOL_NETLINK, options[i], &on, sizeof(on));
}

int nl_open(int netns_fd, struct nl **ret, struct error *e)
{
	cleanup_nl struct nl *nl = allocate(1, sizeof(*nl));

	nl->socket = nl_socket_alloc();
	if (!nl->socket)
		abort();

	int r = netns_run(netns_fd, connect_socket, nl, e);

	if (r < 0)
		return r;

	r = netns_describe(netns_fd, nl_socket_get_fd(nl->socket), &nl->id, e);
	if (r < 0)
		return r;

	ask_for_details(nl_socket_get_fd(nl->socket));
	nl_socket_modify_err_cb(nl->socket, NL_CB_CUSTOM, on_error, nl);
	nl_socket_modify_cb(nl->socket, NL_CB_FINISH, NL_CB_CUSTOM, on_done, nl);
	nl_socket_modify_cb(nl->socket, NL_CB_ACK, NL_CB_CUSTOM, on_ack, nl);
	nl_socket_modify_cb(nl->socket, NL_CB_VALID, NL_CB_CUSTOM, on_part, nl);
	nl_socket_modify_cb(nl->socket, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_sequence, nl);
	*ret = steal_ptr(nl);
	return 0;
}

void nl_free(struct nl *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->socket);
	free(nl);
}

const struct netns_id *nl_namespace(const struct nl *nl)
{
	return &nl->id;
}

struct nl_msg *nl_request(int type, int flags, const void *header, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);
	void *place = message ? nlmsg_reserve(message, size, NLMSG_ALIGNTO) : NULL;

	if (!place)
		abort();
	memcpy(place, header, size);
	return message;
}

/* One request and all of its answer. -EINTR: a dump was interrupted, its parts do not fit together. */
static int exchange(struct nl *nl, struct nl_msg *message)
{
	nl->done = false;
	nl->err = 0;
	nl->sentence[0] = '\0';
	nlmsg_hdr(message)->nlmsg_seq = NL_AUTO_SEQ;
	errno = 0;

	int r = nl_send_auto(nl->socket, message);

	nl->sequence = nlmsg_hdr(message)->nlmsg_seq;
	while (r >= 0 && !nl->done)
		r = nl_recvmsgs_default(nl->socket);

	if (nl->err < 0)
		return nl->err;
	if (r == -NLE_DUMP_INTR)
		return -EINTR;
	if (r < 0)
		return errno ? -errno : -EIO;
	return 0;
}

static int report(const struct nl *nl, int err, struct error *e, const char *what)
{
	unsigned int code = err == -EPERM || err == -EACCES ? ERROR_RIGHTS : ERROR_IO;

	return error_set(e, err, code, "%s: %s", what, nl->sentence[0] ? nl->sentence : strerror(-err));
}

int nl_call(struct nl *nl, struct nl_msg *message, struct error *e, const char *what, ...)
{
	char text[256];
	va_list args;

	nl->each = NULL;

	int r = exchange(nl, message);

	nlmsg_free(message);
	if (r == 0)
		return 0;

	va_start(args, what);
	vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	return report(nl, r, e, text);
}

int nl_query(struct nl *nl, struct nl_msg *message, int (*each)(struct nl_msg *part, void *arg), void *arg,
	struct error *e, const char *what)
{
	int r = -EINTR;

	for (int pass = 0; r == -EINTR && pass < DUMP_PASSES; pass++) {
		each(NULL, arg);
		nl->each = each;
		nl->arg = arg;
		r = exchange(nl, message);
	}
	nl->each = NULL;
	nlmsg_free(message);
	if (r == -EINTR)
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "%s: the kernel's table changes all the time", what);
	return r < 0 ? report(nl, r, e, what) : 0;
}
