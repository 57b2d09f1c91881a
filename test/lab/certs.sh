# shellcheck shell=bash
# Keys and certificates for the tests, made by openssl when they are needed. To be sourced.
#
#   cert_ca FOLDER NAME [CN]   makes a certificate authority: NAME.pem and NAME-key.pem in FOLDER.
#   cert_make FOLDER NAME [K=V ...]
#                              makes NAME.pem and NAME-key.pem. What it is made of:
#                              ca=NAME          the authority that signs, in the same folder (default: ca)
#                              cn=TEXT          common name (default: NAME); cn= makes one without a common name
#                              san=LIST         subject alternative names as openssl writes them: IP:192.168.122.11,DNS:node-1
#                              usage=LIST       extended key usage (default: serverAuth,clientAuth); usage= leaves it out
#                              key=ec|rsa       kind of key (default: ec, P-256: made in no time)
#                              expired=1        it was valid on one day long ago
#                              password=TEXT    the key is encrypted (PKCS #8)
#   certs_cluster FOLDER       what a cluster runs with: ca; server (all addresses of the lab, server and client usage); client (CN
#                              kubernetes). What is there already is kept.
#   certs_odd FOLDER           beside these, what tests need: server-only (no client usage); server-expired; client-no-cn;
#                              client-rsa; client-expired; client-encrypted (password `secret`); other-ca, and signed by that one
#                              server-other and client-other.
#   cert_kubeconfig URL CA USER TOKEN
#                              prints a kubeconfig: an API server, the file of the authority that it is verified by, and a user's token.
#   CERT_SANS                  the addresses and names that certs_cluster puts into server certificates.

CERT_SANS=IP:192.168.122.10,IP:192.168.122.11,IP:192.168.122.12,IP:192.168.122.13,IP:192.168.122.14,IP:127.0.0.1,IP:10.254.0.1
CERT_SANS+=,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:node-1,DNS:node-2,DNS:node-3

cert_ca()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj "/CN=${3:-lab $2}" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
		-keyout "$1/$2-key.pem" -out "$1/$2.pem" 2>/dev/null
}

# A command of openssl that makes a certificate and can date it back knows no other way than a folder of an authority's books.
cert_make()
{
	local folder=$1 name=$2 pair
	local -A its=([ca]=ca [cn]=$2 [san]='' [usage]="serverAuth,clientAuth" [key]=ec [expired]='' [password]='')
	for pair in "${@:3}"; do
		its[${pair%%=*}]=${pair#*=}
	done
	local -a key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256) lock=(-noenc) dates=(-days 3650)
	[[ ${its[key]} != rsa ]] || key=(-newkey rsa:2048)
	[[ -z ${its[password]} ]] || lock=(-passout "pass:${its[password]}")
	[[ -z ${its[expired]} ]] || dates=(-startdate 20200101000000Z -enddate 20200102000000Z)
	local subject=/O=lab books status=0
	[[ -z ${its[cn]} ]] || subject+=/CN=${its[cn]}
	books=$(mktemp -d "$folder/books.XXXXXX")
	touch "$books/index"
	cert_settings "$books" "${its[san]}" "${its[usage]}" >"$books/settings"
	{
		openssl req -new "${key[@]}" "${lock[@]}" -subj "$subject" -keyout "$folder/$name-key.pem" -out "$books/request" &&
			openssl ca -batch -notext -config "$books/settings" "${dates[@]}" -in "$books/request" \
				-cert "$folder/${its[ca]}.pem" -keyfile "$folder/${its[ca]}-key.pem" -out "$folder/$name.pem"
	} 2>"$books/log" || { status=1 && cat "$books/log" >&2; }
	rm -r "$books"
	return $status
}

cert_settings()
{
	cat <<-END
		[ca]
		default_ca = lab
		[lab]
		database = $1/index
		new_certs_dir = $1
		default_md = sha256
		policy = any
		rand_serial = yes
		x509_extensions = leaf
		[any]
		organizationName = optional
		commonName = optional
		[leaf]
		basicConstraints = critical,CA:FALSE
		keyUsage = critical,digitalSignature,keyEncipherment
	END
	[[ -z $2 ]] || echo "subjectAltName = $2"
	[[ -z $3 ]] || echo "extendedKeyUsage = $3"
}

certs_cluster()
{
	local folder=$1
	mkdir -p "$folder"
	cert_once "$folder" ca || cert_ca "$folder" ca || return
	cert_once "$folder" server || cert_make "$folder" server san="$CERT_SANS" || return
	cert_once "$folder" client || cert_make "$folder" client cn=kubernetes usage=clientAuth
}

certs_odd()
{
	local folder=$1
	certs_cluster "$folder" || return
	cert_once "$folder" other-ca || cert_ca "$folder" other-ca || return
	cert_odd "$folder" server-only san="$CERT_SANS" usage=serverAuth &&
		cert_odd "$folder" server-expired san="$CERT_SANS" expired=1 &&
		cert_odd "$folder" server-other ca=other-ca san="$CERT_SANS" &&
		cert_odd "$folder" client-no-cn cn= usage=clientAuth &&
		cert_odd "$folder" client-rsa cn=kubernetes usage=clientAuth key=rsa &&
		cert_odd "$folder" client-expired cn=kubernetes usage=clientAuth expired=1 &&
		cert_odd "$folder" client-encrypted cn=kubernetes usage=clientAuth password=secret &&
		cert_odd "$folder" client-other ca=other-ca cn=kubernetes usage=clientAuth
}

cert_kubeconfig()
{
	cat <<-END
		apiVersion: v1
		kind: Config
		current-context: lab
		contexts:
		- name: lab
		  context:
		    cluster: lab
		    user: $3
		clusters:
		- name: lab
		  cluster:
		    server: $1
		    certificate-authority-data: $(base64 -w0 "$2")
		users:
		- name: $3
		  user:
		    token: $4
	END
}

cert_odd()
{
	cert_once "$1" "$2" || cert_make "$@"
}

cert_once()
{
	[[ -e $1/$2.pem ]]
}
