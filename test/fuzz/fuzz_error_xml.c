/*-------------------------------------------------------------------------
 * fuzz_error_xml.c
 *	  Parse the input as an error document, plain and in base64.
 *-------------------------------------------------------------------------
 */
#include <openssl/evp.h>

#include "fuzz.h"
#include "protocol/error_json.h"

/* Check that a field can stand in a message. */
static void
check_field(const char *field, size_t size)
{
	size_t		len = strnlen(field, size);

	promise(len < size);
	promise(fuzz_is_utf8(field, len));
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = field[i];

		promise(c >= ' ' && c != 0x7f);
		promise(c != 0xC2 || (unsigned char) field[i + 1] > 0xA0);
	}
	promise(len == 0 || (field[0] != ' ' && field[len - 1] != ' '));
}

/* Check all fields; all are empty after a refusal. */
static void
check_error(bool accepted, const OssErrorXml *error)
{
	static const OssErrorXml empty;

	promise(accepted || memcmp(error, &empty, sizeof(empty)) == 0);
	check_field(error->code, sizeof(error->code));
	check_field(error->message, sizeof(error->message));
	check_field(error->request_id, sizeof(error->request_id));
	check_field(error->ec, sizeof(error->ec));
	check_field(error->endpoint, sizeof(error->endpoint));
	check_field(error->server_time, sizeof(error->server_time));
	check_field(error->imm_request_id, sizeof(error->imm_request_id));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *base64 = malloc(size / 3 * 4 + 8);
	int			len = EVP_EncodeBlock((unsigned char *) base64, data,
									  (int) size);
	OssErrorXml plain;
	OssErrorXml decoded;
	bool		accepted;

	accepted = oss_error_xml_parse((const char *) data, size, &plain);
	check_error(accepted, &plain);
	promise(oss_error_xml_parse_base64(base64, len, &decoded) == accepted);
	promise(memcmp(&plain, &decoded, sizeof(plain)) == 0);
	accepted = oss_error_xml_parse_base64((const char *) data, size,
										  &decoded);
	check_error(accepted, &decoded);
	accepted = oss_error_json_parse((const char *) data, size, &decoded);
	check_error(accepted, &decoded);
	free(base64);
	return 0;
}
