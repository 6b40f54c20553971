/*-------------------------------------------------------------------------
 * search_universe.c
 *	  Reading the ids of images whatever their labels are.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "search/search_universe.h"
#include "spi/read_rows.h"
#include "utils/float.h"

/* Images that are in memory together on their way to runs. */
#define UNIVERSE_PIECE	65536

/* Take an image into a set, without a score. */
static void
take_scope_image(TupleTableSlot *slot, void *builder)
{
	oss_image_set_add(builder, DatumGetInt64(slot->tts_values[0]), get_float8_nan());
}

ImageSet
oss_read_universe(const char *scope, int64 most)
{
	OssArguments arguments = {0};
	ImageSetBuilder builder;

	oss_image_set_begin(&builder);
	oss_read(psprintf("SELECT i.image_id FROM oss_labels.image i WHERE %s LIMIT " INT64_FORMAT,
					  scope == NULL ? "true" : scope, most),
			 &arguments, take_scope_image, &builder);
	return oss_image_set_finish(&builder);
}

/* The images of a scope on their way to the runs of a search. */
typedef struct Universe
{
	MemoryContext context;
	ImageSetBuilder builder;
	ImageRuns  *runs;
	int			term;
} Universe;

/* Add the images read so far to the runs, and begin anew. */
static void
add_universe(Universe *universe)
{
	MemoryContext row = MemoryContextSwitchTo(universe->context);

	oss_runs_add(universe->runs, universe->term, oss_image_set_finish(&universe->builder));
	oss_image_set_begin(&universe->builder);
	MemoryContextSwitchTo(row);
}

/* Take an image of the scope. */
static void
take_universe(TupleTableSlot *slot, void *arg)
{
	Universe   *universe = arg;

	if (universe->builder.n == UNIVERSE_PIECE)
		add_universe(universe);
	take_scope_image(slot, &universe->builder);
}

void
oss_read_universe_runs(const char *scope, ImageRuns *runs, int term)
{
	OssArguments arguments = {0};
	Universe	universe = {.context = CurrentMemoryContext,.runs = runs,.term = term};

	oss_image_set_begin(&universe.builder);
	oss_read(psprintf("SELECT i.image_id FROM oss_labels.image i WHERE %s",
					  scope == NULL ? "true" : scope),
			 &arguments, take_universe, &universe);
	add_universe(&universe);
}

ImageSet
oss_read_versions(void)
{
	OssArguments arguments = {0};
	ImageSetBuilder builder;

	oss_image_set_begin(&builder);
	oss_read("SELECT image_id FROM oss_labels.image WHERE version_id IS NOT NULL",
			 &arguments, take_scope_image, &builder);
	return oss_image_set_finish(&builder);
}
