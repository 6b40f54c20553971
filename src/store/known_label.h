/*-------------------------------------------------------------------------
 * known_label.h
 *	  Maintaining the table known_label.
 *
 * Top floor.  A trigger does it for whatever is inserted into image_label by
 * SQL; who inserts past the executor has to call these.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_KNOWN_LABEL_H
#define OSS_KNOWN_LABEL_H

#include "postgres.h"

/*
 * Return the trigger function learn_labels(), InvalidOid if it does not
 * exist.
 */
extern Oid	oss_learn_function(void);

/*
 * Insert a label and its parent into known_label, if they are new.  Within
 * oss_statement_begin(), as the extension's owner with a fixed search path;
 * learn_function is the result of oss_learn_function().
 */
extern void oss_learn_label(Oid learn_function, Datum name, bool no_name,
							Datum parent, bool no_parent);

#endif							/* OSS_KNOWN_LABEL_H */
