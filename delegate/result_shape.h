/* What a result consists of, as tables: between the reader (result_read.c) and the writer (result.c) only. */
#pragma once

#include "delegate/result.h"

enum kind {
	TEXT,    /* left out when empty */
	NAME,    /* a text that is there even when empty */
	ADDRESS, /* left out when empty */
	PREFIX,  /* must be there */
	INDEX,   /* of an interface */
	NUMBER,  /* left out when 0 */
	CHOICE,  /* a number of which 0 is a value, too */
};

/* One member of an interface, address or route, in Go's order of printing. */
struct member {
	const char *key;
	enum kind kind;
	const char *since; /* the version from which on it is read and printed; NULL: always */
};

/** Each table ends with a member without key. */
extern const struct member result_interface_members[], result_ip_members[], result_route_members[];

struct list {
	const char *key;
	const struct member *members;
};

#define RESULT_LISTS 3

/** In 1.1.0's order, which the inner shape has, too: interfaces come before what refers to them. */
extern const struct list result_lists[RESULT_LISTS];

/** Whether that version has the member. */
bool result_has_member(const struct member *member, const char *version);
