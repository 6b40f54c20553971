/*
 * json.h
 *	  Walk JSON as raw slices, so that numbers keep the digits they came with.
 */
#ifndef STANDIN_JSON_H
#define STANDIN_JSON_H

#include "text.h"

/* Take one value off *rest; false when there is no well-formed value. */
extern bool json_value(text *rest, text *value);

/*
 * Open an object ('{') or array ('['): *inside is what follows the bracket.
 * False if value is not of that kind.
 */
extern bool json_open(text value, char bracket, text *inside);

/*
 * Take the next member of an object (name with its quotes) or, with name NULL,
 * the next element of an array; false at the end.
 */
extern bool json_next(text *inside, text *name, text *value);

/* Read a JSON number; false if value is not one. */
extern bool json_number(text value, double *number);

#endif							/* STANDIN_JSON_H */
