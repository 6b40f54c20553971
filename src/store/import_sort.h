/*-------------------------------------------------------------------------
 * import_sort.h
 *	  Rows of an import, in the order of their images' ids.
 *
 * All that write images take their locks in this order, so that two imports of the
 * same images do not deadlock however many these are.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMPORT_SORT_H
#define OSS_IMPORT_SORT_H


#include "store/store.h"

typedef struct OssImportSort OssImportSort;

/* Begin in CurrentMemoryContext; takes up to work_mem, then temporary files. */
extern OssImportSort *oss_import_sort_begin(void);

/* Add a copy of a row. */
extern void oss_import_sort_add(OssImportSort *sort, const OssStoreRow *row);

/*
 * Return the next row, in CurrentMemoryContext; false after the last one.  After
 * the first call no row can be added.
 */
extern bool oss_import_sort_next(OssImportSort *sort, OssStoreRow *row);

/* Free memory and files; may be called again. */
extern void oss_import_sort_end(OssImportSort *sort);

#endif							/* OSS_IMPORT_SORT_H */
