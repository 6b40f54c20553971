/*
 * taxonomy.h
 *	  The labels that derived answers are made of.
 */
#ifndef STANDIN_TAXONOMY_H
#define STANDIN_TAXONOMY_H

/* A level-2 label with its level-1 parent. */
typedef struct taxon
{
	const char *name;
	const char *parent;
} taxon;

/* How many level-2 labels there are (at least 300, of at least 30 parents). */
extern int	taxonomy_size(void);

/* The i-th level-2 label. */
extern taxon taxonomy_at(int i);

#endif							/* STANDIN_TAXONOMY_H */
