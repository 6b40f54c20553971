/*-------------------------------------------------------------------------
 * failure_rules.c
 *	  The error table: codes of the service and errors of the network, with
 *	  SQLSTATE, retry class, scope and hint.
 *
 * sql/README.md prints the same table; test/t/011_errors.pl compares the two.
 * Sources: protocol/README.md 4.2 (retry), 6.2 (codes) and 6.3 (IMM).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/failure.h"

#define SQL_ARGUMENT		ERRCODE_INVALID_PARAMETER_VALUE
#define SQL_NOT_FOUND		ERRCODE_NO_DATA_FOUND
#define SQL_DENIED			ERRCODE_INSUFFICIENT_PRIVILEGE
#define SQL_UNAUTHORIZED	ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION
#define SQL_LIMIT			ERRCODE_CONFIGURATION_LIMIT_EXCEEDED
#define SQL_DATA			ERRCODE_DATA_EXCEPTION
#define SQL_STATE			ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
#define SQL_UNREACHED		ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION
#define SQL_CONNECTION		ERRCODE_CONNECTION_FAILURE
#define SQL_SERVICE			ERRCODE_SYSTEM_ERROR

#define HINT_POLICY "Grant the key's user oss:GetObject and oss:ProcessImm on the object in a RAM policy, and see that no policy of the bucket denies them."
#define HINT_REGION "Set the server's options region and endpoint to those of the bucket."
#define HINT_KEYS "Check access_key_id, access_key_secret and security_token of the user mapping; oss_labels.check_server() helps."
#define HINT_TOKEN "Put a fresh token into the user mapping, or use a credential_source that renews it."
#define HINT_SLOWER "Lower the server's max_concurrency or max_requests_per_second, or ask Alibaba Cloud for a higher quota."
#define HINT_LATER "Try again later."
#define HINT_NETWORK "Check the server's option endpoint and the network; oss_labels.check_server() shows how far a request gets."
#define HINT_OPTION_PROXY "Check the server's option proxy (http:// or https://, host and port), and that the proxy is up; oss_labels.check_server() shows how far a request gets."
#define HINT_PROXY_TLS "Check the server's options proxy and proxy_ca_file, and that the proxy speaks TLS at this port: most are written http://."
#define HINT_PROXY_RULES "Have the proxy's administrator allow CONNECT from this machine to the endpoint and its port, or set the server's option proxy to another one."
#define HINT_TUNNEL "Check the server's option endpoint, and that the proxy lets TLS through as it is; one that inspects TLS shows a certificate of its own, whose CA the option ca_file can name."
#define HINT_CERTIFICATE "Check the server's options endpoint and ca_file, and the CA certificates of this machine."
#define HINT_PUBLIC "Use an internal endpoint from within the region (endpoint_type 'internal'), or a custom domain of the bucket: a row in oss_labels.bucket_domain, or the server's options endpoint, which may have {bucket} in it, and addressing 'cname'."
#define HINT_BILL "Look at the bills and the messages of the Alibaba Cloud account that owns the bucket, and of the one that the key belongs to."
#define HINT_KMS "Look at the bill of the account's Key Management Service; only encrypted objects need it."
#define HINT_DOMAIN "A custom domain belongs to one bucket, so check that the server's endpoint, or the row in oss_labels.bucket_domain, is this bucket's; otherwise check access_key_id, access_key_secret and security_token of the user mapping."
#define HINT_FORMAT "The service takes JPEG and PNG images of at most 20 MB, 30000 pixels a side and 250 million pixels."
#define HINT_IMM "Create an IMM project in the bucket's region and attach the bucket to it."
#define HINT_LACKS "Check the key; if no image of the bucket is found, create an IMM project in the bucket's region and attach the bucket to it."
#define HINT_UNKNOWN "Look the Code up in the documentation of OSS; oss_labels.check_server() shows how far a request gets, and whether a proxy answers in the place of OSS."
#define HINT_VERSION "List the object's versions and give one of them, or NULL for the current one."
#define HINT_LINK "Upload the object that the link names, or give the key of the object itself."
#define HINT_PROXY "Check that the endpoint is OSS itself and no proxy or CDN answers in its place."

/* Outcomes of several rules. */
#define BAD_VERSION SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE, \
	"the version id is not valid", HINT_VERSION
#define BAD_KEY_ID SQL_UNAUTHORIZED, OSS_RETRY_CREDENTIALS, OSS_SCOPE_REQUESTER, \
	"the access key id is unknown or disabled", HINT_KEYS
#define OTHER_SIGNATURE SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER, \
	"the signature does not match", HINT_KEYS
#define BAD_TOKEN SQL_UNAUTHORIZED, OSS_RETRY_CREDENTIALS, OSS_SCOPE_REQUESTER, \
	"the security token is invalid", HINT_TOKEN
#define WRONG_CLOCK SQL_UNAUTHORIZED, OSS_RETRY_CLOCK, OSS_SCOPE_SERVER, \
	"this machine's clock differs too much from the service's", "Let NTP set the clock of the database server."
#define WRONG_REGION SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET, \
	"the region signed for is not the bucket's", HINT_REGION
#define WRONG_PRODUCT SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_SERVER, \
	"the product signed for is not the endpoint's", "Set the server's option product, which is oss but for CloudBox."
#define BAD_SIGNATURE SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER, \
	"the service does not understand the signature", HINT_KEYS
#define OTHER_REGION SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET, \
	"the bucket is in another region", HINT_REGION
#define NOT_PUBLIC SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET, \
	"the bucket may not be used at the public endpoint", HINT_PUBLIC
#define IMM_ASKED_TOO_OFTEN SQL_LIMIT, OSS_RETRY_THROTTLED, OSS_SCOPE_IMAGE, \
	"IMM is asked too often", HINT_SLOWER
#define OVER_LIMIT SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE, \
	"the image or the request exceeds a limit of IMM", HINT_FORMAT
#define IMM_NO_OBJECT SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE, \
	"IMM does not find the object", "Check the key, which is case-sensitive."
#define NOT_ATTACHED SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET, \
	"the bucket is not attached to an IMM project", HINT_IMM
#define IMM_LACKS SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL, \
	"IMM does not find what it needs", HINT_LACKS
#define OVERDUE SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_ACCOUNT, \
	"a payment of the account is overdue", HINT_BILL
#define IMM_DENIED SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL, \
	"IMM may not read the object", "Authorise the role AliyunIMMDefaultRole in the IMM console."
#define IMM_FAILED SQL_SERVICE, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE, \
	"IMM failed", HINT_LATER
#define NO_BUCKET SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL, \
	"the bucket does not exist", "Check the bucket's name and that the server's region is the bucket's."
#define NO_OBJECT SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE, \
	"the object does not exist", "Check the key, which is case-sensitive."
#define REQUESTER_PAYS SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_ACCESS, \
	"the bucket's requester pays", "Set the server's option requester_pays to true, and mind the bill."
#define DENIED SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL, \
	"access denied", HINT_POLICY
#define DISABLED SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_ACCOUNT, \
	"the account is disabled", HINT_BILL
#define KMS_OVERDUE SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL, \
	"a payment for the account's KMS is overdue", HINT_KMS
#define ACCOUNT_ASKS_TOO_OFTEN SQL_LIMIT, OSS_RETRY_THROTTLED, OSS_SCOPE_IMAGE, \
	"the account asks too often", HINT_SLOWER
#define ASKED_TOO_OFTEN SQL_LIMIT, OSS_RETRY_THROTTLED, OSS_SCOPE_IMAGE, \
	"the service is asked too often", HINT_SLOWER
#define SERVICE_FAILED SQL_SERVICE, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE, \
	"the service failed", HINT_LATER
#define SERVICE_TIMED_OUT SQL_CONNECTION, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE, \
	"the service timed out waiting for the request", HINT_LATER

const OssFailureRule oss_failure_rules[] = {
	/* errors of the network, with codes of our own */
	{0, "CouldNotResolve", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"the endpoint's name could not be resolved", HINT_NETWORK},
	{0, "CouldNotConnect", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"could not connect to the endpoint", HINT_NETWORK},
	{0, "ConnectTimeout", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"timed out before a connection was there", HINT_NETWORK},
	{0, "TlsFailed", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"the TLS handshake failed", HINT_CERTIFICATE},
	{0, "CertificateRefused", NULL, NULL, SQL_UNREACHED, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"the server's certificate was refused", HINT_CERTIFICATE},
	{0, "ForbiddenAddress", NULL, NULL, SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"the endpoint resolves to an address that requests may not go to", "Link-local and metadata addresses are never used, and plain http only on loopback, with plain_http 'private' also to private addresses."},
	{0, "Unreachable", NULL, NULL, SQL_UNREACHED, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"the endpoint could not be reached several times in a row", HINT_NETWORK},
	{0, "AnswerTimeout", NULL, NULL, SQL_CONNECTION, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"timed out waiting for the answer", "Raise the server's option timeout_ms, or try again later."},
	{0, "ConnectionBroken", NULL, NULL, SQL_CONNECTION, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"the connection broke before the answer was complete", HINT_LATER},
	{0, "TransportError", NULL, NULL, ERRCODE_PROTOCOL_VIOLATION, OSS_RETRY_TRANSIENT, OSS_SCOPE_DENIAL,
	"the answer was not HTTP", HINT_PROXY},
	{0, "AnswerTooLarge", NULL, NULL, ERRCODE_PROGRAM_LIMIT_EXCEEDED, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the answer is too large", "A labels document has a few kilobytes; oss_labels.max_response_size sets the most that is accepted. " HINT_PROXY},
	{0, "OutOfMemory", NULL, NULL, ERRCODE_OUT_OF_MEMORY, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"out of memory while receiving the answer", HINT_LATER},

	/* errors of a proxy, before the request was sent */
	{0, "ProxyNotResolved", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"the proxy's name could not be resolved", HINT_OPTION_PROXY},
	{0, "ProxyNotConnected", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"could not connect to the proxy", HINT_OPTION_PROXY},
	{0, "ProxyTimeout", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"timed out before the proxy had made a connection", HINT_OPTION_PROXY},
	{0, "ProxyTlsFailed", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"the TLS handshake with the proxy failed", HINT_PROXY_TLS},
	{0, "ProxyCertificateRefused", NULL, NULL, SQL_UNREACHED, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"the proxy's certificate was refused", HINT_PROXY_TLS},
	{0, "ProxyForbiddenAddress", NULL, NULL, SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"the proxy is at an address that requests may not go to", "Link-local and metadata addresses are never used, and plain http only through a proxy on loopback."},
	{0, "ProxyAuthentication", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER,
	"the proxy does not accept the user and password it was given, or asks for them", "Set proxy_user and proxy_password in the user mapping; Basic is the only way of authentication that is spoken."},
	{0, "ProxyRefused", NULL, NULL, ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"the proxy refuses the connection", HINT_PROXY_RULES},
	{0, "ProxyFailed", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"the proxy could not make the connection", "Check the server's option endpoint, whose name the proxy resolves, and the way from the proxy to it."},
	{0, "ProxyClosed", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"the proxy closed the connection before it had answered", HINT_OPTION_PROXY},
	{0, "ProxyGarbled", NULL, NULL, ERRCODE_PROTOCOL_VIOLATION, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"the proxy's answer is not that of an HTTP proxy", HINT_OPTION_PROXY},
	{0, "TunnelTlsFailed", NULL, NULL, SQL_UNREACHED, OSS_RETRY_TRANSIENT, OSS_SCOPE_SERVER,
	"the TLS handshake through the proxy failed", HINT_TUNNEL},
	{0, "TunnelCertificateRefused", NULL, NULL, SQL_UNREACHED, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"the certificate that came through the proxy was refused", HINT_TUNNEL},

	/* requests that the rate limit did not let start in time */
	{0, "RateLimitTimeout", NULL, NULL, SQL_LIMIT, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"timed out waiting for the server's rate limit", "Raise the server's option max_requests_per_second or timeout_ms; oss_labels.rate_status() shows what slows it down."},

	/* requests that budgets and settings refuse before they are sent */
	{0, "BudgetExhausted", NULL, NULL, ERRCODE_INSUFFICIENT_RESOURCES, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"a budget is used up", "Wait for its next period, or have the extension's owner raise it with oss_labels.set_budget()."},
	{0, "BudgetUnenforceable", NULL, NULL, SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_ACCESS,
	"a budget cannot be enforced here", "Budgets need oss_labels in shared_preload_libraries, files that can be written, and a server that is no standby; and what has changed them must be committed first."},
	{0, "RequestsForbidden", NULL, NULL, SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_SERVER,
	"requests are not allowed", "Set oss_labels.allow_requests to on. The query of estimate() or backfill_listed() must send none: copy a bucket's rows into a table first."},
	{0, "StatementLimit", NULL, NULL, ERRCODE_PROGRAM_LIMIT_EXCEEDED, OSS_RETRY_NEVER, OSS_SCOPE_CALL,
	"the statement has sent as many requests as it may", "Raise oss_labels.max_requests_per_statement, use enqueue(), or ask for fewer images in a statement."},

	/* responses with status 200 that cannot be used */
	{0, "NotLabels", NULL, NULL, SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the answer is not a labels document", HINT_PROXY},
	{0, "NotListing", NULL, NULL, SQL_DATA, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"the answer is no page of a listing", HINT_PROXY},
	{0, "ListingInconsistent", NULL, NULL, SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the pages of the listing contradict each other", HINT_PROXY},
	{0, "IdCollision", NULL, NULL, ERRCODE_UNIQUE_VIOLATION, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
		"the image has the image_id of another one, whose labels are stored",
	"Copy the object to another key, or forget() the other image."},
	{0, "AnswerEncoding", NULL, NULL, ERRCODE_UNTRANSLATABLE_CHARACTER, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the answer has characters that this database cannot hold", "PostgreSQL has no place for \\u0000; for other characters use a database with encoding UTF8."},
	{0, "AnswerNotUtf8", NULL, NULL, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the answer is not valid UTF-8", HINT_PROXY},

	/* arguments refused before any request */
	{0, "InvalidVersionId", NULL, NULL, BAD_VERSION},
	{0, "InvalidPrefix", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_CALL,
	"the part of the bucket is not valid", "A prefix, and a key to start after, has at most 1023 bytes of UTF-8; a prefix does not begin with a slash or backslash."},
	{0, "InvalidThreshold", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_CALL,
	"the threshold is not valid", "Give a thr from 0 to 1, or NULL for the service's default."},

	/* no host for the bucket */
	{0, "NoDomain", NULL, NULL, SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET,
	"the server has no domain for the bucket", "Insert the bucket's domain into oss_labels.bucket_domain, or change the server's option endpoint."},

	/* a wrong signature at a custom domain; see oss_route_rule() */
	{0, "OtherDomain", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_ACCESS,
	"the custom domain is another bucket's, or the signature does not match", HINT_DOMAIN},

	/* credentials that could not be fetched */
	{0, "CredentialsUnavailable", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER,
	"no credentials are available", "Check the options of the user mapping; oss_labels.check_server() helps."},
	{0, "RoleRefused", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER,
	"the RAM role cannot be assumed", "Check role_arn and external_id; the role's trust policy must name the caller, and a RAM policy must grant it sts:AssumeRole on the role."},
	{0, "RoleKeyRefused", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER,
	"the key that assumes the RAM role is refused", "Check the key that the user mapping or its role_source gives to assume the role."},
	{0, "RoleCallRefused", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER,
	"the RAM role cannot be assumed in this way", "Check role_arn, role_session_name, duration_seconds, policy and external_id; the role limits the duration."},

	/* authentication */
	{0, "InvalidAccessKeyId", NULL, NULL, BAD_KEY_ID},
	{0, "SignatureDoesNotMatch", NULL, NULL, OTHER_SIGNATURE},
	{0, "InvalidSecurityToken", NULL, NULL, BAD_TOKEN},
	{0, "SecurityTokenExpired", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_CREDENTIALS, OSS_SCOPE_REQUESTER,
	"the security token has expired", HINT_TOKEN},
	{0, "AccessKeyIdAndSecurityTokenNotMatch", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_CREDENTIALS, OSS_SCOPE_REQUESTER,
	"access key id and security token do not belong together", HINT_TOKEN},
	{0, "SecurityTokenNotSupported", NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_NEVER, OSS_SCOPE_REQUESTER,
	"the service does not accept a security token here", "Use a credential_source without a token."},
	{0, "RequestTimeTooSkewed", NULL, NULL, WRONG_CLOCK},
	{0, "InvalidArgument", "0002-00000226", NULL, WRONG_REGION},
	{0, "InvalidArgument", "0002-00000228", NULL, WRONG_REGION},
	{0, "InvalidArgument", NULL, "signing region", WRONG_REGION},
	{0, "InvalidArgument", NULL, "signing product", WRONG_PRODUCT},
	{0, "InvalidArgument", "0002-", NULL, BAD_SIGNATURE},
	{0, "InvalidArgument", NULL, "authorization", BAD_SIGNATURE},

	/* wrong endpoint */
	{0, "AccessDenied", NULL, "specified endpoint", OTHER_REGION},
	{0, "PermanentRedirect", NULL, NULL, OTHER_REGION},
	{0, "SecondLevelDomainForbidden", NULL, NULL, SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET,
	"the endpoint wants the bucket in the host name", "Set the server's option addressing to virtual."},
	{0, "NonStandardHostForbidden", NULL, NULL, SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET,
	"the endpoint does not know its own host name", "Check the server's options endpoint and addressing."},
	{0, "TransferAccelerationDisabled", NULL, NULL, SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET,
	"transfer acceleration is disabled for the bucket", "Enable transfer acceleration for the bucket, or use endpoint_type 'public', on a machine of Alibaba Cloud in the region 'internal'."},
	{0, "CnameDenied", NULL, NULL, SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET,
	"the custom domain belongs to another user", "Check the server's option endpoint and the row in oss_labels.bucket_domain."},
	{0, "PublicEndpointForbidden", NULL, NULL, NOT_PUBLIC},

	/* IMM */
	{0, "Imm *", NULL, "throttl", IMM_ASKED_TOO_OFTEN},
	{0, "Imm *", NULL, "QpsLimit", IMM_ASKED_TOO_OFTEN},
	{0, "Imm *", NULL, "flow control", IMM_ASKED_TOO_OFTEN},
	{0, "Imm *", NULL, "FlowControl", IMM_ASKED_TOO_OFTEN},
	{0, "Imm *", NULL, "TooManyRequests", IMM_ASKED_TOO_OFTEN},
	{0, "Imm *", NULL, "too many requests", IMM_ASKED_TOO_OFTEN},
	{0, "Imm *", NULL, "LimitExceeded", OVER_LIMIT},
	{0, "LimitExceededError", NULL, NULL, OVER_LIMIT},
	{0, "Imm *", NULL, "specified resource file", IMM_NO_OBJECT},
	{0, "Imm *", NULL, "specified resource object", IMM_NO_OBJECT},
	{0, "Imm *", NULL, "resource*attachment*not found", NOT_ATTACHED},
	{0, "Imm *", NULL, "resource*project*not found", NOT_ATTACHED},
	{0, "Imm *", NULL, "resource*binding*not found", NOT_ATTACHED},
	{0, "ResourceNotFound", NULL, "specified resource file", IMM_NO_OBJECT},
	{0, "ResourceNotFound", NULL, "specified resource object", IMM_NO_OBJECT},
	{0, "ResourceNotFound", NULL, "attachment", NOT_ATTACHED},
	{0, "ResourceNotFound", NULL, "project", NOT_ATTACHED},
	{0, "ResourceNotFound", NULL, "binding", NOT_ATTACHED},
	{0, "Imm *", NULL, "ProjectNotFound", NOT_ATTACHED},
	{0, "Imm *", NULL, "AttachmentNotFound", NOT_ATTACHED},
	{0, "Imm *", NULL, "BindingNotFound", NOT_ATTACHED},
	{0, "Imm *", NULL, "not attached", NOT_ATTACHED},
	{0, "Imm *", NULL, "NotFound", IMM_LACKS},
	{0, "Imm *", NULL, "not found", IMM_LACKS},
	{0, "Imm *", NULL, "not exist", IMM_LACKS},
	{0, "ResourceNotFound", NULL, NULL, IMM_LACKS},
	{0, "Imm *", NULL, "overdue", OVERDUE},
	{0, "Imm *", NULL, "InDebt", OVERDUE},
	{0, "Imm *", NULL, "forbidden", IMM_DENIED},
	{0, "Imm *", NULL, "permission", IMM_DENIED},
	{5, "Imm Client", NULL, NULL, IMM_FAILED},
	{0, "Imm Client", NULL, NULL, SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"IMM refused the image", HINT_FORMAT},
	{0, "Imm Server", NULL, NULL, IMM_FAILED},

	/* the request's arguments */
	{0, "NoSuchBucket", NULL, NULL, NO_BUCKET},
	{0, "NoSuchKey", NULL, NULL, NO_OBJECT},
	{0, "NoSuchVersion", NULL, NULL, SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the object has no such version", HINT_VERSION},
	{0, "SymlinkTargetNotExist", NULL, NULL, SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the object is a link to one that does not exist", HINT_LINK},
	{0, "NoSuchStyle", NULL, NULL, SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the bucket has no such style", "Create the style in the bucket, or give an image operation."},
	{0, "KeyNotFound", NULL, NULL, SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the KMS key of the object does not exist", "Restore the key in KMS, or upload the object again with another one."},
	{0, "InvalidArgument", NULL, "version id", BAD_VERSION},
	{0, "InvalidArgument", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the service refuses an argument", HINT_UNKNOWN},
	{0, "MissingArgument", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the service misses an argument", HINT_UNKNOWN},
	{0, "InvalidBucketName", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the bucket's name is not valid", "A bucket's name has 3 to 63 lower-case letters, digits and hyphens, old ones also underscores."},
	{0, "InvalidObjectName", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the key is not valid", "A key has 1 to 1023 bytes of UTF-8 and does not begin with a slash or backslash."},
	{0, "TooManyPipes", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the service refuses the action", HINT_UNKNOWN},
	{0, "BadRequest", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"the service does not understand the request", HINT_UNKNOWN},
	{0, "NotImplemented", NULL, NULL, ERRCODE_FEATURE_NOT_SUPPORTED, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the service does not implement what is asked", HINT_PROXY},
	{0, "OperationNotSupported", NULL, NULL, ERRCODE_FEATURE_NOT_SUPPORTED, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the object does not support the operation", "Give the key of a JPEG or PNG image."},

	/* the image itself */
	{0, "ImageTooLarge", NULL, NULL, SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the image is too large", "The service takes images of at most 20 MB, 30000 pixels a side and 250 million pixels."},
	{0, "ImageDamage", NULL, NULL, SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the image is damaged or of an unknown format", "The service takes JPEG and PNG images."},
	{0, "InvalidTargetType", NULL, NULL, SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the object is a link to a link", HINT_LINK},
	{0, NULL, "0040-", NULL, SQL_DATA, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the service cannot process the image", "The service takes JPEG and PNG images."},
	{0, "InvalidObjectState", NULL, NULL, SQL_STATE, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the object is archived", "Restore the object first, or allow real-time access of archived objects for the bucket."},

	/* authorization */
	{0, "AccessDenied", "0003-00000703", NULL, REQUESTER_PAYS},
	{0, "AccessDenied", NULL, "requester pay", REQUESTER_PAYS},
	{0, "AccessDenied", NULL, "kms", SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the key of the encrypted object may not be used", "Grant the key's user the use of the KMS key."},
	{0, "AccessDenied", NULL, NULL, DENIED},
	{0, "UserDisable", NULL, NULL, DISABLED},
	{0, "InDebt*", NULL, NULL, OVERDUE},
	{0, "UbsmsInvalidBid", NULL, NULL, SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_ACCOUNT,
	"the account is not in order", HINT_BILL},
	{0, "BucketDisable", NULL, NULL, SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET,
	"the bucket is disabled", HINT_BILL},
	{0, "AbnormalBucketOwnerStatus", NULL, NULL, SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_BUCKET,
	"the account of the bucket's owner is not in order", HINT_BILL},
	{0, "KmsInDebt", NULL, NULL, KMS_OVERDUE},
	{0, "KmsInDebtOverdue", NULL, NULL, KMS_OVERDUE},
	{0, "KmsUbsmsInvalidBid", NULL, NULL, SQL_DENIED, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the account's KMS is not in order", HINT_KMS},

	/* throttles */
	{0, "CpuLimitExceeded", NULL, NULL, SQL_LIMIT, OSS_RETRY_THROTTLED, OSS_SCOPE_IMAGE,
	"the account's image processing quota is used up", HINT_SLOWER},
	{0, "TotalQpsLimitExceeded", NULL, NULL, ACCOUNT_ASKS_TOO_OFTEN},
	{0, "MetaOperationQpsLimitExceeded", NULL, NULL, ACCOUNT_ASKS_TOO_OFTEN},
	{0, "ActiveRequestLimitExceeded", NULL, NULL, SQL_LIMIT, OSS_RETRY_THROTTLED, OSS_SCOPE_IMAGE,
	"too many requests are in flight", HINT_SLOWER},
	{0, "DownloadTrafficRateLimitExceeded", NULL, NULL, SQL_LIMIT, OSS_RETRY_THROTTLED, OSS_SCOPE_IMAGE,
	"the bandwidth is used up", HINT_SLOWER},
	{0, "QpsLimitExceeded", NULL, NULL, ASKED_TOO_OFTEN},
	{0, "SlowDown", NULL, NULL, ASKED_TOO_OFTEN},
	{0, "Throttling*", NULL, NULL, ASKED_TOO_OFTEN},
	{0, "TooManyRequests", NULL, NULL, ASKED_TOO_OFTEN},
	{0, "FlowControl*", NULL, NULL, ASKED_TOO_OFTEN},
	{0, "PartitionQpsLimitted", NULL, NULL, SQL_LIMIT, OSS_RETRY_THROTTLED, OSS_SCOPE_IMAGE,
	"the service is asked too often for keys like this one", HINT_SLOWER},
	{0, NULL, "0004-", NULL, ASKED_TOO_OFTEN},

	/* failures of the service */
	{0, "InternalError", NULL, NULL, SERVICE_FAILED},
	{0, "ServiceUnavailable", NULL, NULL, SQL_SERVICE, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"the service is not available", HINT_LATER},
	{0, "RequestTimeout", NULL, NULL, SERVICE_TIMED_OUT},
	{0, "MirrorFailed", NULL, NULL, SQL_SERVICE, OSS_RETRY_TRANSIENT, OSS_SCOPE_IMAGE,
	"the bucket's mirror source is not available", HINT_LATER},
	{0, "PreconditionFailed", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"a precondition does not hold", HINT_PROXY},
	{0, "InvalidRange", NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_IMAGE,
	"the range cannot be satisfied", HINT_PROXY},

	/* missing or unknown codes, by EC */
	{0, NULL, "0002-00000902", NULL, BAD_KEY_ID},
	{0, NULL, "0002-00000040", NULL, OTHER_SIGNATURE},
	{0, NULL, "0002-00000504", NULL, WRONG_CLOCK},
	{0, NULL, "0002-00000006", NULL, BAD_TOKEN},
	{0, NULL, "0002-00000008", NULL, BAD_TOKEN},
	{0, NULL, "0002-00000226", NULL, WRONG_REGION},
	{0, NULL, "0002-00000228", NULL, WRONG_REGION},
	{0, NULL, "0002-00000227", NULL, WRONG_PRODUCT},
	{0, NULL, "0002-", NULL, BAD_SIGNATURE},
	{0, NULL, "0003-00000703", NULL, REQUESTER_PAYS},
	{0, NULL, "0003-00000801", NULL, DISABLED},
	{0, NULL, "0003-00000806", NULL, OVERDUE},
	{0, NULL, "0003-", NULL, DENIED},
	{0, NULL, "0015-00000101", NULL, NO_BUCKET},
	{0, NULL, "0026-00000001", NULL, NO_OBJECT},
	{0, NULL, "0048-00000401", NULL, NOT_PUBLIC},

	/* unknown codes, by status */
	{3, NULL, NULL, NULL, ERRCODE_PROTOCOL_VIOLATION, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the answer is a redirect, which is never followed", HINT_PROXY},
	{401, NULL, NULL, NULL, SQL_UNAUTHORIZED, OSS_RETRY_CREDENTIALS, OSS_SCOPE_REQUESTER,
	"the service wants other credentials", HINT_KEYS},
	{403, NULL, NULL, NULL, DENIED},
	{404, NULL, NULL, NULL, SQL_NOT_FOUND, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"not found", HINT_PROXY},
	{408, NULL, NULL, NULL, SERVICE_TIMED_OUT},
	{429, NULL, NULL, NULL, ASKED_TOO_OFTEN},
	{4, NULL, NULL, NULL, SQL_ARGUMENT, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the service refuses the request", HINT_UNKNOWN},
	{5, NULL, NULL, NULL, SERVICE_FAILED},
	{0, NULL, NULL, NULL, ERRCODE_PROTOCOL_VIOLATION, OSS_RETRY_NEVER, OSS_SCOPE_DENIAL,
	"the service gave an answer of no known kind", HINT_PROXY},
};

const int	oss_failure_rule_count = lengthof(oss_failure_rules);

bool
oss_failure_names_rights(const OssFailureRule *rule)
{
	return strcmp(rule->hint, HINT_POLICY) == 0;
}
