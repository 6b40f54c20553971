/*-------------------------------------------------------------------------
 * search_runs.c
 *	  Sets of images that are read side by side, image by image.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "search/search_runs.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

/* Bounds of the hits that are read from the file at once. */
#define LEAST_PIECE	64
#define MOST_PIECE	4096

/* A set: the piece that is in memory, and the place of the rest in the file. */
typedef struct Run
{
	int			term;
	ImageSet	piece;
	int64		next;			/* in piece */
	int64		in_file;
	int			fileno;
	off_t		offset;
} Run;

struct ImageRuns
{
	MemoryContext context;
	Run		   *runs;
	int			n;
	int			room;
	Size		size;			/* of the sets in memory */
	BufFile    *file;			/* NULL: all are in memory */
	ImageHit   *pieces;			/* of runs in the file, "most_piece" for each */
	int64		most_piece;
	binaryheap *heap;			/* of runs, by their next image; NULL before
								 * the first */
	int			nterms;
	double	   *scores;			/* of terms, for the present image */
	bool	   *has;
};

ImageRuns *
oss_runs_begin(int nterms)
{
	ImageRuns  *runs = palloc0(sizeof(ImageRuns));

	runs->context = CurrentMemoryContext;
	runs->room = Max(nterms, 8);
	runs->runs = palloc(sizeof(Run) * runs->room);
	runs->nterms = nterms;
	runs->scores = palloc(sizeof(double) * Max(nterms, 1));
	runs->has = palloc0(sizeof(bool) * Max(nterms, 1));
	return runs;
}

/* Write a set to the file. */
static void
write_run(ImageRuns *runs, Run *run)
{
	BufFileTell(runs->file, &run->fileno, &run->offset);
	BufFileWrite(runs->file, run->piece.hits, sizeof(ImageHit) * run->piece.n);
	run->in_file = run->piece.n;
	pfree(run->piece.hits);
	run->piece = (ImageSet)
	{
		0, NULL
	};
}

/* Write all sets to a file. */
static void
write_runs(ImageRuns *runs)
{
	MemoryContext caller = MemoryContextSwitchTo(runs->context);

	runs->file = BufFileCreateTemp(false);
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < runs->n; i++)
		write_run(runs, &runs->runs[i]);
}

void
oss_runs_add(ImageRuns *runs, int term, ImageSet set)
{
	Run		   *run;

	Assert(runs->heap == NULL && term < runs->nterms);
	if (set.n == 0)
		return;
	if (runs->n == runs->room)
	{
		runs->room *= 2;
		runs->runs = repalloc_huge(runs->runs, sizeof(Run) * runs->room);
	}
	run = &runs->runs[runs->n++];
	*run = (Run)
	{
		.term = term,.piece = set
	};
	runs->size += sizeof(ImageHit) * set.n;
	if (runs->file != NULL)
		write_run(runs, run);
	else if (runs->size > work_mem * (Size) 1024)
		write_runs(runs);
}

/* Read the next piece of a run.  Returns false if it is at its end. */
static bool
read_piece(ImageRuns *runs, Run *run)
{
	int64		n = Min(run->in_file, runs->most_piece);
	size_t		size = sizeof(ImageHit) * n;

	if (n == 0)
		return false;
	run->piece.hits = runs->pieces + (run - runs->runs) * runs->most_piece;
	if (BufFileSeek(runs->file, run->fileno, run->offset, SEEK_SET) != 0 ||
		BufFileRead(runs->file, run->piece.hits, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read temporary file of a search: %m"),
				 errhint("Look for errors of the disk, then search again.")));
	BufFileTell(runs->file, &run->fileno, &run->offset);
	run->piece.n = n;
	run->in_file -= n;
	run->next = 0;
	return true;
}

/* Heap order: the least image first. */
static int
compare_runs(Datum a, Datum b, void *arg)
{
	const Run  *left = (Run *) DatumGetPointer(a);
	const Run  *right = (Run *) DatumGetPointer(b);
	int64		left_id = left->piece.hits[left->next].image_id;
	int64		right_id = right->piece.hits[right->next].image_id;

	return left_id < right_id ? 1 : left_id > right_id ? -1 : 0;
}

/* Go to the first image of each run. */
static void
start_runs(ImageRuns *runs)
{
	if (runs->file != NULL)
	{
		int64		all = work_mem * INT64CONST(1024) / 4 / (int64) sizeof(ImageHit);

		runs->most_piece = Min(Max(all / runs->n, LEAST_PIECE), MOST_PIECE);
		runs->pieces = MemoryContextAllocHuge(runs->context, sizeof(ImageHit) *
											  runs->most_piece * runs->n);
	}
	runs->heap = binaryheap_allocate(Max(runs->n, 1), compare_runs, NULL);
	for (int i = 0; i < runs->n; i++)
	{
		Run		   *run = &runs->runs[i];

		if (run->piece.n > 0 || read_piece(runs, run))
			binaryheap_add_unordered(runs->heap, PointerGetDatum(run));
	}
	binaryheap_build(runs->heap);
}

bool
oss_runs_next(ImageRuns *runs, int64 *image_id)
{
	bool		found = false;

	if (runs->heap == NULL)
		start_runs(runs);
	memset(runs->has, 0, sizeof(bool) * runs->nterms);
	while (!binaryheap_empty(runs->heap))
	{
		Run		   *run = (Run *) DatumGetPointer(binaryheap_first(runs->heap));
		const ImageHit *hit = &run->piece.hits[run->next];

		if (found && hit->image_id != *image_id)
			break;
		found = true;
		*image_id = hit->image_id;
		runs->scores[run->term] = runs->has[run->term] ?
			oss_score_or(runs->scores[run->term], hit->score) : hit->score;
		runs->has[run->term] = true;
		if (++run->next < run->piece.n || read_piece(runs, run))
			binaryheap_replace_first(runs->heap, PointerGetDatum(run));
		else
			binaryheap_remove_first(runs->heap);
	}
	return found;
}

bool
oss_runs_has(const ImageRuns *runs, int term, double *score)
{
	*score = runs->scores[term];
	return runs->has[term];
}

void
oss_runs_end(ImageRuns *runs)
{
	for (int i = 0; i < runs->n && runs->file == NULL; i++)
		pfree(runs->runs[i].piece.hits);
	if (runs->pieces != NULL)
		pfree(runs->pieces);
	if (runs->heap != NULL)
		binaryheap_free(runs->heap);
	if (runs->file != NULL)
		BufFileClose(runs->file);
	pfree(runs->runs);
	pfree(runs->scores);
	pfree(runs->has);
	pfree(runs);
}
