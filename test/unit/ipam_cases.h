/* Bad ipam objects, each with the whole message that must come of it. */
#pragma once

#define AT "delegates[1].ipam"
#define NET "\"subnet\":\"10.188.0.0/16\""
#define SIX "\"subnet\":\"2001:db8::/64\""
#define EDGES "; it must lie between 10.188.0.1 and 10.188.255.254"
#define PLEASE "it must be a subnet such as 10.188.0.0/16 or 2001:db8::/64"

/* The configuration, and the whole message. */
static const struct {
	const char *text, *message;
} bad_ranges[] = {
	{"{}", AT ".subnet is missing: " PLEASE},
	{"{\"ranges\":[]}", AT ".subnet is missing: " PLEASE},
	{"{\"rangeStart\":\"10.0.0.2\"}", AT ".subnet is missing: " PLEASE},
	{"{\"fixedStart\":\"10.0.0.2\",\"ranges\":[[{" NET "}]]}", AT ".subnet is missing: " PLEASE},
	{"{\"subnet\":5}", AT ".subnet is 5: it must be a string"},
	{"{\"subnet\":\"\"}", AT ".subnet is empty: " PLEASE},
	{"{\"subnet\":\"10.188.0.0\"}", AT ".subnet is 10.188.0.0: " PLEASE},
	{"{\"subnet\":\"10.188.0.0/33\"}", AT ".subnet is 10.188.0.0/33: " PLEASE},
	{"{\"subnet\":\"10.188.0.0/16 \"}", AT ".subnet is 10.188.0.0/16 : " PLEASE},
	{"{\"subnet\":\"10.188.0.5/16\"}", AT ".subnet is 10.188.0.5/16: it must have no host bits: 10.188.0.0/16"},
	{"{\"subnet\":\"2001:db8::1/64\"}", AT ".subnet is 2001:db8::1/64: it must have no host bits: 2001:db8::/64"},
	{"{\"subnet\":\"10.188.0.0/31\"}", AT ".subnet is 10.188.0.0/31: it must not be longer than /30, or no pod has "
					      "room beside network address and gateway"},
	{"{\"subnet\":\"10.188.0.0/32\"}", AT ".subnet is 10.188.0.0/32: it must not be longer than /30, or no pod has "
					      "room beside network address and gateway"},
	{"{\"subnet\":\"2001:db8::/127\"}", AT ".subnet is 2001:db8::/127: it must not be longer than /126, or no pod "
					       "has room beside network address and gateway"},
	{"{\"subnet\":\"2001:db8::/128\"}", AT ".subnet is 2001:db8::/128: it must not be longer than /126, or no pod "
					       "has room beside network address and gateway"},
	{"{\"subnet\":\"0.0.0.0/0\"}",
		AT ".subnet is 0.0.0.0/0: it must be unicast addresses (no 0.0.0.0/8, loopback or "
		   "multicast)"},
	{"{\"subnet\":\"64.0.0.0/2\"}",
		AT ".subnet is 64.0.0.0/2: it must be unicast addresses (no 0.0.0.0/8, loopback "
		   "or multicast)"},
	{"{\"subnet\":\"ff00::/8\"}", AT ".subnet is ff00::/8: it must be unicast addresses (no 0.0.0.0/8, loopback or "
					 "multicast)"},
	{"{" NET ",\"rangeStart\":\"10.188.0.200\",\"rangeEnd\":\"10.188.0.10\"}",
		AT ".rangeStart is 10.188.0.200: it must not lie after rangeEnd 10.188.0.10"},
	{"{" SIX ",\"rangeStart\":\"2001:db8::9\",\"rangeEnd\":\"2001:db8::8\"}",
		AT ".rangeStart is 2001:db8::9: it must not lie after rangeEnd 2001:db8::8"},
	{"{" NET ",\"rangeStart\":\"10.189.0.5\"}",
		AT ".rangeStart is 10.189.0.5: it must lie in the subnet 10.188.0.0/16"},
	{"{" NET ",\"rangeEnd\":\"10.189.0.5\"}",
		AT ".rangeEnd is 10.189.0.5: it must lie in the subnet 10.188.0.0/16"},
	{"{" NET ",\"rangeEnd\":\"2001:db8::5\"}",
		AT ".rangeEnd is 2001:db8::5: it must lie in the subnet 10.188.0.0/16"},
	{"{" SIX ",\"rangeEnd\":\"2001:db8:1::5\"}",
		AT ".rangeEnd is 2001:db8:1::5: it must lie in the subnet 2001:db8::/64"},
	{"{" NET ",\"rangeStart\":\"10.188.0.300\"}", AT ".rangeStart is 10.188.0.300: it must be an IP address"},
	{"{" NET ",\"rangeStart\":\"\"}", AT ".rangeStart is empty: it must be an IP address"},
	{"{" NET ",\"rangeStart\":\"10.188.0.0\"}",
		AT ".rangeStart is 10.188.0.0: this is the network address of 10.188.0.0/16" EDGES},
	{"{" NET ",\"rangeEnd\":\"10.188.255.255\"}",
		AT ".rangeEnd is 10.188.255.255: this is the broadcast address of 10.188.0.0/16" EDGES},
	{"{" SIX ",\"rangeStart\":\"2001:db8::\"}",
		AT ".rangeStart is 2001:db8::: this is the network address of 2001:db8::/64; it must lie between "
		   "2001:db8::1 and 2001:db8::ffff:ffff:ffff:ffff"},
	{"{" NET ",\"gateway\":\"10.189.0.1\"}", AT ".gateway is 10.189.0.1: it must lie in the subnet 10.188.0.0/16"},
	{"{" NET ",\"gateway\":\"10.188.255.255\"}",
		AT ".gateway is 10.188.255.255: this is the broadcast address of 10.188.0.0/16" EDGES},
	{"{" NET ",\"gateway\":\"router\"}", AT ".gateway is router: it must be an IP address"},
	{"{" NET ",\"fixedStart\":\"10.188.0.5\"}", AT ".fixedEnd is missing: fixedStart and fixedEnd go together"},
	{"{" NET ",\"fixedEnd\":\"10.188.0.5\"}", AT ".fixedStart is missing: fixedStart and fixedEnd go together"},
	{"{" NET ",\"fixedStart\":\"10.188.0.6\",\"fixedEnd\":\"10.188.0.5\"}",
		AT ".fixedStart is 10.188.0.6: it must not lie after fixedEnd 10.188.0.5"},
	{"{" NET ",\"fixedStart\":\"10.189.0.6\",\"fixedEnd\":\"10.188.0.5\"}",
		AT ".fixedStart is 10.189.0.6: it must lie in the subnet 10.188.0.0/16"},
	{"{" NET ",\"fixedStart\":\"10.188.0.6\",\"fixedEnd\":\"10.188.255.255\"}",
		AT ".fixedEnd is 10.188.255.255: this is the broadcast address of 10.188.0.0/16" EDGES},
};

static const struct {
	const char *text, *message;
} bad_others[] = {
	{"[]", AT " is not an object"},
	{"{\"ranges\":{}}", AT ".ranges is {}: it must be an array"},
	{"{\"ranges\":[{" NET "}]}", AT ".ranges[0] is {\"subnet\":\"10.188.0.0/16\"}: it must be a list of ranges "
					"([[{\"subnet\": ...}]]), of which an interface gets one address"},
	{"{\"ranges\":[[]]}", AT ".ranges[0] is []: it must be a list of ranges ([[{\"subnet\": ...}]]), of which an "
				 "interface gets one address"},
	{"{\"ranges\":[[5]]}", AT ".ranges[0][0] is not an object"},
	{"{\"ranges\":[[{" NET "},{}]]}", AT ".ranges[0][1].subnet is missing: " PLEASE},
	{"{\"ranges\":[[{" SIX "}],[{" NET ",\"rangeStart\":\"10.189.0.5\"}]]}",
		AT ".ranges[1][0].rangeStart is 10.189.0.5: it must lie in the subnet 10.188.0.0/16"},
	{"{\"ranges\":[[{" NET "},{" SIX "}]]}",
		AT ".ranges[0][1].subnet is 2001:db8::/64: it must be IPv4, as the first range of its set is"},
	{"{" NET ",\"rangeEnd\":\"10.188.0.20\",\"ranges\":[[{" NET ",\"rangeStart\":\"10.188.0.20\"}]]}",
		AT ".ranges[0][0] is 10.188.0.20-10.188.255.254: it must not overlap the range 10.188.0.1-10.188.0.20 "
		   "of the same configuration"},
	{"{\"ranges\":[[{" NET "},{\"subnet\":\"10.188.7.0/24\"}]]}",
		AT ".ranges[0][1] is 10.188.7.1-10.188.7.254: it must not overlap the range "
		   "10.188.0.1-10.188.255.254 of the same configuration"},
	{"{" NET ",\"routes\":{}}", AT ".routes is {}: it must be an array"},
	{"{" NET ",\"routes\":[\"0.0.0.0/0\"]}", AT ".routes[0] is not an object"},
	{"{" NET ",\"routes\":[{}]}",
		AT ".routes[0].dst is missing: it must be a prefix such as 0.0.0.0/0 or 10.0.0.0/8"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.0/8\"},{\"dst\":\"10.0.0.0\"}]}",
		AT ".routes[1].dst is 10.0.0.0: it must be a prefix such as 0.0.0.0/0 or 10.0.0.0/8"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.1/8\"}]}",
		AT ".routes[0].dst is 10.0.0.1/8: it must have no host bits: 10.0.0.0/8"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.0/8\",\"gw\":\"10.188\"}]}",
		AT ".routes[0].gw is 10.188: it must be an IPv4 address"},
	{"{" NET ",\"routes\":[{\"dst\":\"::/0\",\"gw\":\"10.188.0.1\"}]}",
		AT ".routes[0].gw is 10.188.0.1: it must be an IPv6 address"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.0/8\",\"mtu\":65536}]}",
		AT ".routes[0].mtu is 65536: it must be between 0 and 65535"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.0/8\",\"priority\":-1}]}",
		AT ".routes[0].priority is -1: it must be between 0 and 4294967295"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.0/8\",\"table\":4294967296}]}",
		AT ".routes[0].table is 4294967296: it must be between 0 and 4294967295"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.0/8\",\"scope\":256}]}",
		AT ".routes[0].scope is 256: it must be between 0 and 255"},
	{"{" NET ",\"routes\":[{\"dst\":\"10.0.0.0/8\",\"advmss\":1.5}]}",
		AT ".routes[0].advmss is 1.5: it must be a whole number"},
	{"{" NET ",\"domain\":\"a/b\"}",
		AT ".domain is a/b: it must be 1 to 63 letters, digits, dots, dashes or underscores"},
	{"{" NET ",\"domain\":\"\"}",
		AT ".domain is empty: it must be 1 to 63 letters, digits, dots, dashes or underscores"},
	{"{" NET ",\"KubeConfig\":\"x.conf\"}", AT ".kubeConfig is \"x.conf\": it must be an absolute path"},
	{"{" NET ",\"resolvConf\":1}", AT ".resolvConf is 1: it must be a string"},
};
