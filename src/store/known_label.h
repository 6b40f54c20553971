/*-------------------------------------------------------------------------
 * known_label.h
 *	  Noting each label and parent that is stored in known_label.
 *
 * Top floor.  A trigger does it for whatever is inserted into image_label by
 * SQL; who inserts past the executor has to call these.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_KNOWN_LABEL_H
#define OSS_KNOWN_LABEL_H

#include "postgres.h"

/* The trigger function learn_labels(), InvalidOid when it is not there. */
extern Oid	oss_learn_function(void);

/*
 * Note a label and its parent.  Within oss_statement_begin(), as the
 * extension's owner with a pinned search path.  learn_function is oss_learn_function().
 */
extern void oss_learn_label(Oid learn_function, Datum name, bool no_name,
							Datum parent, bool no_parent);

#endif							/* OSS_KNOWN_LABEL_H */
