/*-------------------------------------------------------------------------
 * price.h
 *	  What requests cost, by the table price.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PRICE_H
#define OSS_PRICE_H

/*
 * Set *cost, a numeric, and *currency to the price of so many requests of an item
 * ("label", "head") to a server (NULL: any) today, in CurrentMemoryContext.  Returns false
 * if it is unknown.
 */
extern bool oss_price_of(const char *item, const char *server, int64 requests,
						 Datum *cost, char **currency);

#endif							/* OSS_PRICE_H */
