/*-------------------------------------------------------------------------
 * failure_rules.c
 *	  THE error table: every code of the service and every trouble of the
 *	  network with its SQLSTATE, retry class and hint.
 *
 * sql/README.md prints the same table; test/t/011_errors.pl compares the two.
 * Sources: protocol/README.md 4.2 (retry), 6.2 (codes) and 6.3 (IMM).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/failure.h"

#define NEVER		OSS_RETRY_NEVER
#define TRANSIENT	OSS_RETRY_TRANSIENT
#define THROTTLED	OSS_RETRY_THROTTLED
#define CREDENTIALS OSS_RETRY_CREDENTIALS
#define CLOCK		OSS_RETRY_CLOCK

#define IMAGE		OSS_SCOPE_IMAGE
#define CALL		OSS_SCOPE_CALL
#define ACCESS		OSS_SCOPE_ACCESS
#define BUCKET		OSS_SCOPE_BUCKET
#define REQUESTER	OSS_SCOPE_REQUESTER
#define SERVER		OSS_SCOPE_SERVER
#define DENIAL		OSS_SCOPE_DENIAL
#define ACCOUNT		OSS_SCOPE_ACCOUNT

#define ARGUMENT	ERRCODE_INVALID_PARAMETER_VALUE
#define MISSING		ERRCODE_NO_DATA_FOUND
#define DENIED		ERRCODE_INSUFFICIENT_PRIVILEGE
#define WHO			ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION
#define BUSY		ERRCODE_CONFIGURATION_LIMIT_EXCEEDED
#define REFUSED		ERRCODE_DATA_EXCEPTION
#define STATE		ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
#define UNREACHED	ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION
#define LOST		ERRCODE_CONNECTION_FAILURE
#define SERVICE		ERRCODE_SYSTEM_ERROR

#define HINT_POLICY "Grant the key's user oss:GetObject and oss:ProcessImm on the object in a RAM policy, and see that no policy of the bucket denies them."
#define HINT_REGION "Set the server's options region and endpoint to those of the bucket."
#define HINT_KEYS "Check access_key_id, access_key_secret and security_token of the user mapping; oss_labels.check_server() helps."
#define HINT_TOKEN "Put a fresh token into the user mapping, or use a credential_source that renews it."
#define HINT_SLOWER "Lower the server's max_concurrency or max_requests_per_second, or ask Alibaba Cloud for a higher quota."
#define HINT_LATER "Try again later."
#define HINT_NETWORK "Check the server's option endpoint and the network; oss_labels.check_server() shows how far a request gets."
#define HINT_CERTIFICATE "Check the server's options endpoint and ca_file, and the CA certificates of this machine."
#define HINT_PUBLIC "Use an internal endpoint from within the region, such as 'https://oss-cn-hangzhou-internal.aliyuncs.com', or a custom domain of the bucket with the server's options endpoint and addressing 'cname'."
#define HINT_BILL "Look at the bills and the messages of the Alibaba Cloud account that owns the bucket, and of the one that the key belongs to."
#define HINT_KMS "Look at the bill of the account's Key Management Service; only encrypted objects need it."
#define HINT_DOMAIN "A custom domain belongs to one bucket, so check that the server's endpoint is this bucket's; otherwise check access_key_id, access_key_secret and security_token of the user mapping."
#define HINT_FORMAT "The service takes JPEG and PNG images of at most 20 MB, 30000 pixels a side and 250 million pixels."
#define HINT_IMM "Create an IMM project in the bucket's region and attach the bucket to it."
#define HINT_LACKS "Check the key; if no image of the bucket is found, create an IMM project in the bucket's region and attach the bucket to it."
#define HINT_UNKNOWN "Look the Code up in the documentation of OSS; oss_labels.check_server() shows how far a request gets, and whether a proxy answers in the place of OSS."
#define HINT_PROXY "Check that the endpoint is OSS itself and no proxy or CDN answers in its place."

const OssFailureRule oss_failure_rules[] = {
	/* troubles of the network, under names of our own */
	{0, "CouldNotResolve", NULL, NULL, UNREACHED, TRANSIENT, IMAGE,
	"the endpoint's name could not be resolved", HINT_NETWORK},
	{0, "CouldNotConnect", NULL, NULL, UNREACHED, TRANSIENT, IMAGE,
	"could not connect to the endpoint", HINT_NETWORK},
	{0, "ConnectTimeout", NULL, NULL, UNREACHED, TRANSIENT, IMAGE,
	"timed out before a connection was there", HINT_NETWORK},
	{0, "TlsFailed", NULL, NULL, UNREACHED, TRANSIENT, IMAGE,
	"the TLS handshake failed", HINT_CERTIFICATE},
	{0, "CertificateRefused", NULL, NULL, UNREACHED, NEVER, SERVER,
	"the server's certificate was refused", HINT_CERTIFICATE},
	{0, "ForbiddenAddress", NULL, NULL, DENIED, NEVER, SERVER,
		"the endpoint resolves to an address that requests may not go to",
	"Link-local and metadata addresses are never used, and plain http only on loopback."},
	{0, "Unreachable", NULL, NULL, UNREACHED, NEVER, SERVER,
	"the endpoint could not be reached several times in a row", HINT_NETWORK},
	{0, "AnswerTimeout", NULL, NULL, LOST, TRANSIENT, IMAGE,
		"timed out waiting for the answer",
	"Raise the server's option timeout_ms, or try again later."},
	{0, "ConnectionBroken", NULL, NULL, LOST, TRANSIENT, IMAGE,
	"the connection broke before the answer was complete", HINT_LATER},
	{0, "TransportError", NULL, NULL, ERRCODE_PROTOCOL_VIOLATION, TRANSIENT, IMAGE,
	"the answer was not HTTP", HINT_PROXY},
	{0, "AnswerTooLarge", NULL, NULL, ERRCODE_PROGRAM_LIMIT_EXCEEDED, NEVER, DENIAL,
		"the answer is too large",
	"A labels document has a few kilobytes; oss_labels.max_response_size sets the most that is accepted. " HINT_PROXY},
	{0, "OutOfMemory", NULL, NULL, ERRCODE_OUT_OF_MEMORY, TRANSIENT, IMAGE,
	"out of memory while receiving the answer", HINT_LATER},

	/* limits that let nothing go in time */
	{0, "RateLimitTimeout", NULL, NULL, BUSY, NEVER, IMAGE,
		"timed out waiting for the server's rate limit",
	"Raise the server's option max_requests_per_second or timeout_ms; oss_labels.rate_status() shows what slows it down."},

	/* answers with status 200 that are of no use */
	{0, "NotLabels", NULL, NULL, REFUSED, NEVER, DENIAL,
	"the answer is not a labels document", HINT_PROXY},
	{0, "AnswerEncoding", NULL, NULL, ERRCODE_UNTRANSLATABLE_CHARACTER, NEVER, IMAGE,
		"the answer has characters that this database cannot hold",
	"PostgreSQL has no place for \\u0000; for other characters use a database with encoding UTF8."},
	{0, "AnswerNotUtf8", NULL, NULL, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE, NEVER, IMAGE,
	"the answer is not valid UTF-8", HINT_PROXY},

	/* arguments that are refused before any request */
	{0, "InvalidVersionId", NULL, NULL, ARGUMENT, NEVER, IMAGE,
	"the version id is not valid", NULL},
	{0, "InvalidThreshold", NULL, NULL, ARGUMENT, NEVER, CALL,
	"the threshold is not valid", "Give a thr from 0 to 1, or NULL for the service's default."},

	/* what a wrong signature means where the bucket is not in the host name */
	{0, "OtherDomain", NULL, NULL, WHO, NEVER, ACCESS,
	"the signature does not match, or the custom domain is another bucket's", HINT_DOMAIN},

	/* credentials that could not be had */
	{0, "CredentialsUnavailable", NULL, NULL, WHO, NEVER, REQUESTER,
		"no credentials could be had",
	"Check the options of the user mapping; oss_labels.check_server() helps."},

	/* who signs */
	{0, "InvalidAccessKeyId", NULL, NULL, WHO, CREDENTIALS, REQUESTER,
	"the access key id is unknown or disabled", HINT_KEYS},
	{0, "SignatureDoesNotMatch", NULL, NULL, WHO, NEVER, REQUESTER,
	"the signature does not match", HINT_KEYS},
	{0, "InvalidSecurityToken", NULL, NULL, WHO, CREDENTIALS, REQUESTER,
	"the security token is invalid", HINT_TOKEN},
	{0, "SecurityTokenExpired", NULL, NULL, WHO, CREDENTIALS, REQUESTER,
	"the security token has expired", HINT_TOKEN},
	{0, "AccessKeyIdAndSecurityTokenNotMatch", NULL, NULL, WHO, CREDENTIALS, REQUESTER,
	"access key id and security token do not belong together", HINT_TOKEN},
	{0, "SecurityTokenNotSupported", NULL, NULL, WHO, NEVER, REQUESTER,
		"the service takes no security token here",
	"Use a credential_source without a token."},
	{0, "RequestTimeTooSkewed", NULL, NULL, WHO, CLOCK, SERVER,
		"this machine's clock differs too much from the service's",
	"Let NTP set the clock of the database server."},
	{0, "InvalidArgument", "0002-00000226", NULL, STATE, NEVER, BUCKET,
	"the region signed for is not the bucket's", HINT_REGION},
	{0, "InvalidArgument", "0002-00000228", NULL, STATE, NEVER, BUCKET,
	"the region signed for is not the bucket's", HINT_REGION},
	{0, "InvalidArgument", NULL, "signing region", STATE, NEVER, BUCKET,
	"the region signed for is not the bucket's", HINT_REGION},
	{0, "InvalidArgument", NULL, "signing product", STATE, NEVER, SERVER,
		"the product signed for is not the endpoint's",
	"Set the server's option product, which is oss but for CloudBox."},
	{0, "InvalidArgument", "0002-", NULL, WHO, NEVER, REQUESTER,
	"the service does not understand the signature", HINT_KEYS},
	{0, "InvalidArgument", NULL, "authorization", WHO, NEVER, REQUESTER,
	"the service does not understand the signature", HINT_KEYS},

	/* which endpoint */
	{0, "AccessDenied", NULL, "specified endpoint", STATE, NEVER, BUCKET,
	"the bucket is in another region", HINT_REGION},
	{0, "PermanentRedirect", NULL, NULL, STATE, NEVER, BUCKET,
	"the bucket is in another region", HINT_REGION},
	{0, "SecondLevelDomainForbidden", NULL, NULL, STATE, NEVER, BUCKET,
		"the endpoint wants the bucket in the host name",
	"Set the server's option addressing to virtual."},
	{0, "NonStandardHostForbidden", NULL, NULL, STATE, NEVER, BUCKET,
		"the endpoint does not know its own host name",
	"Check the server's options endpoint and addressing."},
	{0, "TransferAccelerationDisabled", NULL, NULL, STATE, NEVER, BUCKET,
		"transfer acceleration is disabled for the bucket",
	"Use the region's own endpoint, or enable transfer acceleration."},
	{0, "CnameDenied", NULL, NULL, DENIED, NEVER, BUCKET,
		"the custom domain belongs to another user",
	"Check the server's options endpoint and addressing."},

	{0, "PublicEndpointForbidden", NULL, NULL, STATE, NEVER, BUCKET,
	"the bucket may not be used at the public endpoint", HINT_PUBLIC},

	/* IMM, which looks at the image */
	{0, "Imm *", NULL, "throttl", BUSY, THROTTLED, IMAGE,
	"IMM is asked too often", HINT_SLOWER},
	{0, "Imm *", NULL, "QpsLimit", BUSY, THROTTLED, IMAGE,
	"IMM is asked too often", HINT_SLOWER},
	{0, "Imm *", NULL, "flow control", BUSY, THROTTLED, IMAGE,
	"IMM is asked too often", HINT_SLOWER},
	{0, "Imm *", NULL, "FlowControl", BUSY, THROTTLED, IMAGE,
	"IMM is asked too often", HINT_SLOWER},
	{0, "Imm *", NULL, "TooManyRequests", BUSY, THROTTLED, IMAGE,
	"IMM is asked too often", HINT_SLOWER},
	{0, "Imm *", NULL, "too many requests", BUSY, THROTTLED, IMAGE,
	"IMM is asked too often", HINT_SLOWER},
	{0, "Imm *", NULL, "LimitExceeded", REFUSED, NEVER, IMAGE,
	"the image or the request exceeds a limit of IMM", HINT_FORMAT},
	{0, "LimitExceededError", NULL, NULL, REFUSED, NEVER, IMAGE,
	"the image or the request exceeds a limit of IMM", HINT_FORMAT},
	{0, "Imm *", NULL, "specified resource file", MISSING, NEVER, IMAGE,
	"IMM does not find the object", "Check the key, which is case-sensitive."},
	{0, "Imm *", NULL, "specified resource object", MISSING, NEVER, IMAGE,
	"IMM does not find the object", "Check the key, which is case-sensitive."},
	{0, "Imm *", NULL, "resource*attachment*not found", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "Imm *", NULL, "resource*project*not found", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "Imm *", NULL, "resource*binding*not found", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "ResourceNotFound", NULL, "specified resource file", MISSING, NEVER, IMAGE,
	"IMM does not find the object", "Check the key, which is case-sensitive."},
	{0, "ResourceNotFound", NULL, "specified resource object", MISSING, NEVER, IMAGE,
	"IMM does not find the object", "Check the key, which is case-sensitive."},
	{0, "ResourceNotFound", NULL, "attachment", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "ResourceNotFound", NULL, "project", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "ResourceNotFound", NULL, "binding", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "Imm *", NULL, "ProjectNotFound", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "Imm *", NULL, "AttachmentNotFound", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "Imm *", NULL, "BindingNotFound", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "Imm *", NULL, "not attached", STATE, NEVER, BUCKET,
	"the bucket is not attached to an IMM project", HINT_IMM},
	{0, "Imm *", NULL, "NotFound", MISSING, NEVER, DENIAL,
	"IMM does not find what it needs", HINT_LACKS},
	{0, "Imm *", NULL, "not found", MISSING, NEVER, DENIAL,
	"IMM does not find what it needs", HINT_LACKS},
	{0, "Imm *", NULL, "not exist", MISSING, NEVER, DENIAL,
	"IMM does not find what it needs", HINT_LACKS},
	{0, "ResourceNotFound", NULL, NULL, MISSING, NEVER, DENIAL,
	"IMM does not find what it needs", HINT_LACKS},
	{0, "Imm *", NULL, "overdue", DENIED, NEVER, ACCOUNT,
	"a payment of the account is overdue", HINT_BILL},
	{0, "Imm *", NULL, "InDebt", DENIED, NEVER, ACCOUNT,
	"a payment of the account is overdue", HINT_BILL},
	{0, "Imm *", NULL, "forbidden", DENIED, NEVER, DENIAL,
		"IMM may not read the object",
	"Authorise the role AliyunIMMDefaultRole in the IMM console."},
	{0, "Imm *", NULL, "permission", DENIED, NEVER, DENIAL,
		"IMM may not read the object",
	"Authorise the role AliyunIMMDefaultRole in the IMM console."},
	{5, "Imm Client", NULL, NULL, SERVICE, TRANSIENT, IMAGE,
	"IMM failed", HINT_LATER},
	{0, "Imm Client", NULL, NULL, REFUSED, NEVER, IMAGE,
		"IMM refused the image",
	HINT_FORMAT},
	{0, "Imm Server", NULL, NULL, SERVICE, TRANSIENT, IMAGE,
	"IMM failed", HINT_LATER},

	/* what is asked for */
	{0, "NoSuchBucket", NULL, NULL, MISSING, NEVER, DENIAL,
		"the bucket does not exist",
	"Check the bucket's name and that the server's region is the bucket's."},
	{0, "NoSuchKey", NULL, NULL, MISSING, NEVER, IMAGE,
	"the object does not exist", "Check the key, which is case-sensitive."},
	{0, "NoSuchVersion", NULL, NULL, MISSING, NEVER, IMAGE,
	"the object has no such version", NULL},
	{0, "SymlinkTargetNotExist", NULL, NULL, MISSING, NEVER, IMAGE,
	"the object is a link to one that does not exist", NULL},
	{0, "NoSuchStyle", NULL, NULL, MISSING, NEVER, IMAGE,
	"the bucket has no such style", NULL},
	{0, "KeyNotFound", NULL, NULL, MISSING, NEVER, DENIAL,
	"the KMS key of the object does not exist", NULL},
	{0, "InvalidArgument", NULL, "version id", ARGUMENT, NEVER, IMAGE,
	"the version id is not valid", NULL},
	{0, "InvalidArgument", NULL, NULL, ARGUMENT, NEVER, DENIAL,
	"the service refuses an argument", HINT_UNKNOWN},
	{0, "MissingArgument", NULL, NULL, ARGUMENT, NEVER, DENIAL,
	"the service misses an argument", HINT_UNKNOWN},
	{0, "InvalidBucketName", NULL, NULL, ARGUMENT, NEVER, IMAGE, "the bucket's name is not valid",
	"A bucket's name has 3 to 63 lower-case letters, digits and hyphens."},
	{0, "InvalidObjectName", NULL, NULL, ARGUMENT, NEVER, IMAGE, "the key is not valid",
	"A key has 1 to 1023 bytes of UTF-8 and does not begin with a slash or backslash."},
	{0, "TooManyPipes", NULL, NULL, ARGUMENT, NEVER, IMAGE,
	"the service refuses the action", NULL},
	{0, "BadRequest", NULL, NULL, ARGUMENT, TRANSIENT, IMAGE,
	"the service does not understand the request", NULL},
	{0, "NotImplemented", NULL, NULL, ERRCODE_FEATURE_NOT_SUPPORTED, NEVER, DENIAL,
	"the service does not implement what is asked", HINT_PROXY},
	{0, "OperationNotSupported", NULL, NULL, ERRCODE_FEATURE_NOT_SUPPORTED, NEVER, IMAGE,
	"the object does not support the operation", NULL},

	/* the image itself */
	{0, "ImageTooLarge", NULL, NULL, REFUSED, NEVER, IMAGE,
		"the image is too large",
	"The service takes images of at most 20 MB, 30000 pixels a side and 250 million pixels."},
	{0, "ImageDamage", NULL, NULL, REFUSED, NEVER, IMAGE,
		"the image is damaged or of an unknown format",
	"The service takes JPEG and PNG images."},
	{0, "InvalidTargetType", NULL, NULL, REFUSED, NEVER, IMAGE,
	"the object is a link to a link", NULL},
	{0, NULL, "0040-", NULL, REFUSED, NEVER, IMAGE,
		"the service cannot process the image",
	"The service takes JPEG and PNG images."},
	{0, "InvalidObjectState", NULL, NULL, STATE, NEVER, IMAGE,
		"the object is archived",
	"Restore the object first, or allow real-time access of archived objects for the bucket."},

	/* who may */
	{0, "AccessDenied", "0003-00000703", NULL, DENIED, NEVER, ACCESS,
		"the bucket's requester pays",
	"Set the server's option requester_pays to true, and mind the bill."},
	{0, "AccessDenied", NULL, "requester pay", DENIED, NEVER, ACCESS,
		"the bucket's requester pays",
	"Set the server's option requester_pays to true, and mind the bill."},
	{0, "AccessDenied", NULL, "kms", DENIED, NEVER, DENIAL,
		"the key of the encrypted object may not be used",
	"Grant the key's user the use of the KMS key."},
	{0, "AccessDenied", NULL, NULL, DENIED, NEVER, DENIAL,
	"access denied", HINT_POLICY},
	{0, "UserDisable", NULL, NULL, DENIED, NEVER, ACCOUNT,
	"the account is disabled", HINT_BILL},
	{0, "InDebt*", NULL, NULL, DENIED, NEVER, ACCOUNT,
	"a payment of the account is overdue", HINT_BILL},
	{0, "UbsmsInvalidBid", NULL, NULL, DENIED, NEVER, ACCOUNT,
	"the account is not in order", HINT_BILL},
	{0, "BucketDisable", NULL, NULL, DENIED, NEVER, BUCKET,
	"the bucket is disabled", HINT_BILL},
	{0, "AbnormalBucketOwnerStatus", NULL, NULL, DENIED, NEVER, BUCKET,
	"the account of the bucket's owner is not in order", HINT_BILL},
	{0, "KmsInDebt", NULL, NULL, DENIED, NEVER, DENIAL,
	"a payment for the account's KMS is overdue", HINT_KMS},
	{0, "KmsInDebtOverdue", NULL, NULL, DENIED, NEVER, DENIAL,
	"a payment for the account's KMS is overdue", HINT_KMS},
	{0, "KmsUbsmsInvalidBid", NULL, NULL, DENIED, NEVER, DENIAL,
	"the account's KMS is not in order", HINT_KMS},

	/* too fast */
	{0, "CpuLimitExceeded", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the account's image processing quota is used up", HINT_SLOWER},
	{0, "TotalQpsLimitExceeded", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the account asks too often", HINT_SLOWER},
	{0, "MetaOperationQpsLimitExceeded", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the account asks too often", HINT_SLOWER},
	{0, "ActiveRequestLimitExceeded", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"too many requests are in flight", HINT_SLOWER},
	{0, "DownloadTrafficRateLimitExceeded", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the bandwidth is used up", HINT_SLOWER},
	{0, "QpsLimitExceeded", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often", HINT_SLOWER},
	{0, "SlowDown", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often", HINT_SLOWER},
	{0, "Throttling*", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often", HINT_SLOWER},
	{0, "TooManyRequests", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often", HINT_SLOWER},
	{0, "FlowControl*", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often", HINT_SLOWER},
	{0, "PartitionQpsLimitted", NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often for keys like this one", HINT_SLOWER},
	{0, NULL, "0004-", NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often", HINT_SLOWER},

	/* the service is not well */
	{0, "InternalError", NULL, NULL, SERVICE, TRANSIENT, IMAGE,
	"the service failed", HINT_LATER},
	{0, "ServiceUnavailable", NULL, NULL, SERVICE, TRANSIENT, IMAGE,
	"the service is not available", HINT_LATER},
	{0, "RequestTimeout", NULL, NULL, LOST, TRANSIENT, IMAGE,
	"the service waited in vain for the request", HINT_LATER},
	{0, "MirrorFailed", NULL, NULL, SERVICE, TRANSIENT, IMAGE,
	"the bucket's mirror source is not available", HINT_LATER},
	{0, "PreconditionFailed", NULL, NULL, ARGUMENT, NEVER, IMAGE,
	"a precondition does not hold", HINT_PROXY},
	{0, "InvalidRange", NULL, NULL, ARGUMENT, NEVER, IMAGE,
	"the range cannot be satisfied", HINT_PROXY},

	/* codes that are missing or new, by their EC */
	{0, NULL, "0002-00000902", NULL, WHO, CREDENTIALS, REQUESTER,
	"the access key id is unknown or disabled", HINT_KEYS},
	{0, NULL, "0002-00000040", NULL, WHO, NEVER, REQUESTER,
	"the signature does not match", HINT_KEYS},
	{0, NULL, "0002-00000504", NULL, WHO, CLOCK, SERVER,
		"this machine's clock differs too much from the service's",
	"Let NTP set the clock of the database server."},
	{0, NULL, "0002-00000006", NULL, WHO, CREDENTIALS, REQUESTER,
	"the security token is invalid", HINT_TOKEN},
	{0, NULL, "0002-00000008", NULL, WHO, CREDENTIALS, REQUESTER,
	"the security token is invalid", HINT_TOKEN},
	{0, NULL, "0002-00000226", NULL, STATE, NEVER, BUCKET,
	"the region signed for is not the bucket's", HINT_REGION},
	{0, NULL, "0002-00000228", NULL, STATE, NEVER, BUCKET,
	"the region signed for is not the bucket's", HINT_REGION},
	{0, NULL, "0002-00000227", NULL, STATE, NEVER, SERVER,
		"the product signed for is not the endpoint's",
	"Set the server's option product, which is oss but for CloudBox."},
	{0, NULL, "0002-", NULL, WHO, NEVER, REQUESTER,
	"the service does not understand the signature", HINT_KEYS},
	{0, NULL, "0003-00000703", NULL, DENIED, NEVER, ACCESS,
		"the bucket's requester pays",
	"Set the server's option requester_pays to true, and mind the bill."},
	{0, NULL, "0003-00000801", NULL, DENIED, NEVER, ACCOUNT,
	"the account is disabled", HINT_BILL},
	{0, NULL, "0003-00000806", NULL, DENIED, NEVER, ACCOUNT,
	"a payment of the account is overdue", HINT_BILL},
	{0, NULL, "0003-", NULL, DENIED, NEVER, DENIAL,
	"access denied", HINT_POLICY},
	{0, NULL, "0015-00000101", NULL, MISSING, NEVER, DENIAL,
		"the bucket does not exist",
	"Check the bucket's name and that the server's region is the bucket's."},
	{0, NULL, "0026-00000001", NULL, MISSING, NEVER, IMAGE,
	"the object does not exist", "Check the key, which is case-sensitive."},
	{0, NULL, "0048-00000401", NULL, STATE, NEVER, BUCKET,
	"the bucket may not be used at the public endpoint", HINT_PUBLIC},

	/* codes nobody has told us of, by their status */
	{3, NULL, NULL, NULL, ERRCODE_PROTOCOL_VIOLATION, NEVER, DENIAL,
	"the answer is a redirect, which is never followed", HINT_PROXY},
	{401, NULL, NULL, NULL, WHO, CREDENTIALS, REQUESTER,
	"the service wants other credentials", HINT_KEYS},
	{403, NULL, NULL, NULL, DENIED, NEVER, DENIAL,
	"access denied", HINT_POLICY},
	{404, NULL, NULL, NULL, MISSING, NEVER, DENIAL,
	"not found", HINT_PROXY},
	{408, NULL, NULL, NULL, LOST, TRANSIENT, IMAGE,
	"the service waited in vain for the request", HINT_LATER},
	{429, NULL, NULL, NULL, BUSY, THROTTLED, IMAGE,
	"the service is asked too often", HINT_SLOWER},
	{4, NULL, NULL, NULL, ARGUMENT, NEVER, DENIAL,
	"the service refuses the request", HINT_UNKNOWN},
	{5, NULL, NULL, NULL, SERVICE, TRANSIENT, IMAGE,
	"the service failed", HINT_LATER},
	{0, NULL, NULL, NULL, ERRCODE_PROTOCOL_VIOLATION, NEVER, DENIAL,
	"the service gave an answer of no known kind", HINT_PROXY},
};

const int	oss_failure_rule_count = lengthof(oss_failure_rules);
