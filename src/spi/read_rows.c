/*-------------------------------------------------------------------------
 * read_rows.c
 *	  Reading many rows by SQL.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/params.h"
#include "spi/read_rows.h"
#include "tcop/dest.h"

/* A DestReceiver that passes each row to a function. */
typedef struct Receiver
{
	DestReceiver pub;
	OssTakeRow	take;
	void	   *arg;
} Receiver;

/* DestReceiver methods without effect. */
static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_nothing(DestReceiver *self)
{
}

static bool
receive_image(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;

	slot_getallattrs(slot);
	receiver->take(slot, receiver->arg);
	return true;
}

void
oss_add_argument(OssArguments *arguments, Oid type, Datum value)
{
	Assert(arguments->n < lengthof(arguments->types));
	arguments->types[arguments->n] = type;
	arguments->values[arguments->n++] = value;
}

void
oss_read(const char *query, const OssArguments *arguments, OssTakeRow take,
		 void *arg)
{
	Receiver	receiver = {{receive_image, receiver_startup, receiver_nothing, receiver_nothing, DestTuplestore}};
	SPIExecuteOptions options = {0};
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	receiver.take = take;
	receiver.arg = arg;
	options.read_only = true;
	options.dest = take == NULL ? NULL : &receiver.pub;
	options.params = makeParamList(arguments->n);
	for (int i = 0; i < arguments->n; i++)
	{
		options.params->params[i].value = arguments->values[i];
		options.params->params[i].isnull = false;
		options.params->params[i].pflags = PARAM_FLAG_CONST;
		options.params->params[i].ptype = arguments->types[i];
	}
	result = SPI_execute_extended(query, &options);
	MemoryContextSwitchTo(caller);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read labels: %s", SPI_result_code_string(result));
}
