/*
 * cppcheck.h
 *	  What cppcheck must know of PostgreSQL's macros; it reads no header of
 *	  PostgreSQL's.
 */
#define PG_VERSION_NUM 190000
#define LIBCURL_VERSION_NUM 0x080000
#define PGDLLEXPORT
#define PG_MODULE_MAGIC
#define PG_MODULE_MAGIC_EXT(...)
#define PG_FUNCTION_INFO_V1(f) extern Datum f(FunctionCallInfo fcinfo)
#define PG_FUNCTION_ARGS FunctionCallInfo fcinfo
#define PG_RETURN_VOID() return 0
#define PG_RETURN_NULL() do { fcinfo->isnull = true; return 0; } while (0)
#define CppAsString2(x) #x
#define FLEXIBLE_ARRAY_MEMBER
#define INT64_FORMAT "%ld"
#define UINT64_FORMAT "%lu"
#define INT64CONST(x) x##L
#define UINT64CONST(x) x##UL
#define pg_noreturn _Noreturn
#define pg_attribute_printf(f, a)

#define DEBUG1 14
#define LOG 15
#define NOTICE 18
#define WARNING 19
#define ERROR 21
#define FATAL 22
#define PANIC 23
#define ereport(level, ...) \
	do { (void) (__VA_ARGS__); if ((level) >= ERROR) abort(); } while (0)
#define elog(level, ...) ereport(level, errmsg(__VA_ARGS__))

#define errsave(context, ...) ereport(ERROR, __VA_ARGS__)
#define ereturn(context, value, ...) \
	do { (void) (__VA_ARGS__); return value; } while (0)

#define PG_TRY(...) {
#define PG_CATCH(...) } if (error_caught()) {
#define PG_FINALLY(...) } {
#define PG_END_TRY(...) }

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

#define NIL ((List *) NULL)
#define foreach(cell, list) \
	for (cell = list_head(list); cell != NULL; cell = lnext(list, cell))
#define foreach_ptr(type, var, list) \
	for (type *var = first_of(list); var != NULL; var = next_of(list))
#define foreach_node(type, var, list) foreach_ptr(type, var, list)
#define foreach_current_index(cell) (cell != NULL)
#define dlist_foreach(iter, list) \
	for (iter = dlist_begin(list); iter.cur != NULL; iter = dlist_step(iter))
#define dlist_foreach_modify(iter, list) dlist_foreach(iter, list)
#define dlist_reverse_foreach(iter, list) dlist_foreach(iter, list)
#define dlist_container(type, member, node) \
	((type *) ((char *) (node) - offsetof(type, member)))
#define dlist_head_element(type, member, list) \
	dlist_container(type, member, dlist_head_node(list))
